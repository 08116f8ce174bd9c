#pragma once
// Routing keys and topics that follow from a record: "sluice/{kind}/{endpoint}".

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "connectors/connector.h"

namespace sluice::connectors {

class RecordTemplate {
 public:
  // {organisation}: its id; {kind}: usage, event, sensor-event or message; {endpoint}: the id that
  // message_key() gives. InvalidArgument: another name in braces, or a brace without its other.
  static Result<RecordTemplate> parse(std::string_view text);

  std::string fill(const recordlog::Chunk& chunk, std::uint32_t index) const;
  // The longest that fill() can give.
  std::size_t bytes_max() const;
  std::string_view text() const { return text_; }

 private:
  enum class Part : std::uint8_t { Text, Organisation, Kind, Endpoint };
  struct Piece {
    Part part;
    std::string text;
  };
  std::string text_;
  std::vector<Piece> pieces_;
};

}  // namespace sluice::connectors
