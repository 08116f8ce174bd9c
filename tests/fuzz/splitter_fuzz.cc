// libFuzzer: any bytes as a body, in each framing and encoding, with bad records skipped or not.
// What is accepted must hold together: records lie where they should, pass alone with the same
// columns, and leave nothing more to redact; what is skipped lies in the body too.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.h"
#include "ingest/body_reader.h"
#include "ingest/redaction.h"
#include "ingest/unpack.h"

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
  SLUICE_ASSERT(options.skip_invalid || batch.rejected.empty());
  std::uint64_t places = 0;
  for (const RejectedRecord& rejected : batch.rejected) {
    SLUICE_ASSERT(!rejected.bytes.empty() && rejected.bytes.data() >= body.data());
    SLUICE_ASSERT(rejected.bytes.data() + rejected.bytes.size() <= body.data() + body.size());
    SLUICE_ASSERT(!rejected.fault.message.empty() && rejected.fault.index >= places);
    places = rejected.fault.index + 1;
  }
  SLUICE_ASSERT(places <= records + batch.rejected.size());
}

constexpr std::uint64_t kBytesMax = 1 << 16;

// Nullopt: it cannot be unpacked.
std::optional<Padded> unpacked(Encoding encoding, std::string_view packed) {
  if (encoding == Encoding::Identity) return Padded(packed);
  std::uint64_t reserved = 0;
  const auto reserve = [&reserved](std::uint64_t bytes) {
    reserved += bytes;
    return true;
  };
  auto result = unpack(encoding, packed, {.bytes_max = kBytesMax, .reserve = reserve});
  SLUICE_ASSERT(reserved <= kBytesMax);
  if (const Refusal* const refusal = std::get_if<Refusal>(&result)) {
    SLUICE_ASSERT(!refusal->message.empty());
    return std::nullopt;
  }
  const Unpacked& whole = std::get<Unpacked>(result);
  SLUICE_ASSERT(whole.size <= whole.capacity && whole.capacity == reserved);
  return Padded({whole.storage.get(), whole.size});
}

}  // namespace
}  // namespace sluice::ingest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  static RecordParser parser(kBytesMax);
  if (size == 0) return 0;
  const bool event = (data[0] & 1) != 0;
  const bool lines = (data[0] & 2) != 0;
  const bool skips = (data[0] & 4) != 0;
  const auto encoding = static_cast<Encoding>((data[0] >> 3) % 3);
  const ReadOptions options{.kind = event ? Kind::Event : Kind::Usage,
                            .framing = lines ? Framing::Lines : Framing::Json,
                            .token = OrganisationId{1},
                            .record_bytes_max = kBytesMax,
                            .skip_invalid = skips};
  auto read = unpacked(encoding, {reinterpret_cast<const char*>(data) + 1, size - 1});
  if (!read) return 0;
  Padded& body = *read;
  const auto result = read_body(body.span(), options, parser);
  if (const Batch* const batch = std::get_if<Batch>(&result)) {
    check_batch(body.view(), options, *batch, parser);
  } else {
    SLUICE_ASSERT(!std::get<Refusal>(result).message.empty());
    SLUICE_ASSERT(!answer(std::get<Refusal>(result)).body.empty());
  }
  return 0;
}
