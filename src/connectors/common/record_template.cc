#include "connectors/common/record_template.h"

#include <fmt/format.h>

#include "connectors/common/kind_word.h"
#include "connectors/common/message_key.h"

namespace sluice::connectors {
namespace {

constexpr std::size_t kIdBytesMax = 20;  // in decimal

}  // namespace

Result<RecordTemplate> RecordTemplate::parse(std::string_view text) {
  const auto wrong = [](std::string message) {
    return Error{ErrorCode::InvalidArgument, std::move(message)};
  };
  RecordTemplate made;
  made.text_ = text;
  while (!text.empty()) {
    const std::size_t open = std::min(text.find_first_of("{}"), text.size());
    if (open > 0) made.pieces_.push_back({Part::Text, std::string(text.substr(0, open))});
    text.remove_prefix(open);
    if (text.empty()) break;
    const std::size_t close = text.find('}');
    if (text.front() == '}' || close == text.npos) return wrong("has a brace without its other");
    const std::string_view name = text.substr(1, close - 1);
    if (name == "organisation") {
      made.pieces_.push_back({Part::Organisation, ""});
    } else if (name == "kind") {
      made.pieces_.push_back({Part::Kind, ""});
    } else if (name == "endpoint") {
      made.pieces_.push_back({Part::Endpoint, ""});
    } else {
      return wrong(
          fmt::format("names {{{}}}: use {{organisation}}, {{kind}} or {{endpoint}}", name));
    }
    text.remove_prefix(close + 1);
  }
  return made;
}

std::string RecordTemplate::fill(const recordlog::Chunk& chunk, std::uint32_t index) const {
  std::string filled;
  for (const Piece& piece : pieces_) {
    switch (piece.part) {
      case Part::Text: filled += piece.text; break;
      case Part::Organisation: filled += std::to_string(chunk.organisation.value()); break;
      case Part::Kind: filled += kind_word(chunk.kind); break;
      case Part::Endpoint: filled += message_key(chunk, index); break;
    }
  }
  return filled;
}

std::size_t RecordTemplate::bytes_max() const {
  std::size_t bytes = 0;
  for (const Piece& piece : pieces_) {
    bytes += piece.part == Part::Text ? piece.text.size() : kIdBytesMax;
  }
  return bytes;
}

}  // namespace sluice::connectors
