// libFuzzer: any bytes as a body, in each framing. What is accepted must hold together: records
// lie where they should, pass alone with the same columns, and leave nothing more to redact.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "ingest/body_reader.h"
#include "ingest/redaction.h"

namespace sluice::ingest {
namespace {

// A copy with rubbish behind it.
class Padded {
 public:
  explicit Padded(std::string_view text)
      : bytes_(text.size() + RecordParser::kPadding, '"'), size_(text.size()) {
    std::copy(text.begin(), text.end(), bytes_.begin());
  }
  std::span<char> span() { return {bytes_.data(), size_}; }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::vector<char> bytes_;
  std::size_t size_;
};

void check_record(Kind kind, const recordlog::NewRecord& record, RecordParser& parser) {
  const Padded alone(record.bytes);
  const Result<ParsedRecord> parsed = parser.parse(kind, alone.view());
  SLUICE_ASSERT(parsed.has_value());
  SLUICE_ASSERT(parsed->columns == record.columns);
  if (kind == Kind::Event && carries_tokens(record.columns.type_id)) {
    const auto redacted = redact(alone.view());
    SLUICE_ASSERT(!redacted || *redacted == record.bytes);
  }
}

void check_batch(std::string_view body, const ReadOptions& options, const Batch& batch,
                 RecordParser& parser) {
  std::uint64_t records = 0;
  for (const recordlog::NewRecords& group : batch.groups) {
    const char* in_body = body.data();
    for (const recordlog::NewRecord& record : group.records) {
      ++records;
      SLUICE_ASSERT(record.bytes.starts_with('{') && record.bytes.ends_with('}'));
      const bool rewritten =
          record.bytes.data() < body.data() || record.bytes.data() >= body.data() + body.size();
      if (!rewritten) {
        SLUICE_ASSERT(record.bytes.data() >= in_body);
        in_body = record.bytes.data() + record.bytes.size();
      }
      check_record(options.kind, record, parser);
    }
  }
  SLUICE_ASSERT(records == batch.records);
}

}  // namespace
}  // namespace sluice::ingest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  static RecordParser parser(1 << 16);
  if (size == 0) return 0;
  const bool event = (data[0] & 1) != 0;
  const bool lines = (data[0] & 2) != 0;
  const ReadOptions options{.kind = event ? Kind::Event : Kind::Usage,
                            .framing = lines ? Framing::Lines : Framing::Json,
                            .token = OrganisationId{1},
                            .record_bytes_max = 1 << 16};
  Padded body({reinterpret_cast<const char*>(data) + 1, size - 1});
  const auto result = read_body(body.span(), options, parser);
  if (const Batch* const batch = std::get_if<Batch>(&result)) {
    check_batch(body.view(), options, *batch, parser);
  } else {
    SLUICE_ASSERT(!std::get<Refusal>(result).message.empty());
    SLUICE_ASSERT(!answer(std::get<Refusal>(result)).body.empty());
  }
  return 0;
}
