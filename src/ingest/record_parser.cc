#include "ingest/record_parser.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <array>
#include <cstring>
#include <limits>

#include "base/timestamp.h"
#include "ingest/json_text.h"

namespace sluice::ingest {

static_assert(RecordParser::kPadding >= simdjson::SIMDJSON_PADDING);

namespace {

namespace dom = simdjson::dom;

enum Property : std::uint8_t {
  Id,
  Alert,
  Endpoint,
  Timestamp,
  EventType,
  EventSource,
  Organisation,
  TrafficType,
  EndTimestamp,
  EventSeverity,
  StartTimestamp,
  kProperties,  // how many; stands for all others too
};

Property property_of(std::string_view key) {
  switch (key.size()) {
    case 2: return key == "id" ? Id : kProperties;
    case 5: return key == "alert" ? Alert : kProperties;
    case 8: return key == "endpoint" ? Endpoint : kProperties;
    case 9: return key == "timestamp" ? Timestamp : kProperties;
    case 10: return key == "event_type" ? EventType : kProperties;
    case 12:
      if (key == "organisation") return Organisation;
      if (key == "event_source") return EventSource;
      return key == "traffic_type" ? TrafficType : kProperties;
    case 13: return key == "end_timestamp" ? EndTimestamp : kProperties;
    case 14: return key == "event_severity" ? EventSeverity : kProperties;
    case 15: return key == "start_timestamp" ? StartTimestamp : kProperties;
    default: return kProperties;
  }
}

// The values of the properties that Sluice reads; of duplicate keys, the last. A null is the same
// as no property.
class Properties {
 public:
  explicit Properties(dom::object record) {
    for (const dom::key_value_pair field : record) {
      const Property property = property_of(field.key);
      if (property == kProperties) continue;
      values_[property] = field.value;
      const std::uint32_t bit = 1u << property;
      present_ = field.value.is_null() ? present_ & ~bit : present_ | bit;
    }
  }
  bool has(Property property) const { return (present_ >> property & 1) != 0; }
  // Only of a property that is there.
  dom::element operator[](Property property) const { return values_[property]; }

 private:
  std::array<dom::element, kProperties> values_;
  std::uint32_t present_ = 0;
};

std::optional<dom::element> last_member(dom::element object, std::string_view key) {
  dom::object members;
  std::optional<dom::element> found;
  if (object.get(members) != simdjson::SUCCESS) return found;
  for (const dom::key_value_pair field : members) {
    if (field.key == key) found = field.value;
  }
  return found;
}

std::optional<std::int64_t> signed_integer(std::optional<dom::element> value) {
  std::int64_t integer = 0;
  if (!value || value->get(integer) != simdjson::SUCCESS) return std::nullopt;
  return integer;
}

// `property`.id as a column of type Int: absent unless it is an integer that fits.
template <class Int>
Int id_column(const Properties& properties, Property property, std::int64_t min, Int absent) {
  if (!properties.has(property)) return absent;
  const std::optional<std::int64_t> id = signed_integer(last_member(properties[property], "id"));
  const bool fits = id && *id >= min && *id <= std::int64_t{std::numeric_limits<Int>::max()};
  return fits ? static_cast<Int>(*id) : absent;
}

std::int8_t alert_column(const Properties& properties) {
  if (!properties.has(Alert)) return -1;
  bool flag = false;
  if (properties[Alert].get(flag) == simdjson::SUCCESS) return flag ? 1 : 0;
  const std::optional<std::int64_t> number = signed_integer(properties[Alert]);
  return number && (*number == 0 || *number == 1) ? static_cast<std::int8_t>(*number) : -1;
}

NamedOrganisation named_organisation(const Properties& properties) {
  NamedOrganisation named;
  if (!properties.has(Organisation)) return named;
  dom::object members;
  named.unusable = properties[Organisation].get(members) != simdjson::SUCCESS;
  if (named.unusable) return named;
  std::optional<dom::element> id;
  for (const dom::key_value_pair field : members) {
    if (field.key == "id") id = field.value;
    if (field.key == "name" && field.value.get(named.name) != simdjson::SUCCESS) named.name = {};
  }
  if (!id || id->is_null()) return named;
  const std::optional<std::int64_t> number = signed_integer(id);
  named.unusable = !number || *number < 0;
  if (!named.unusable) named.id = OrganisationId{static_cast<std::uint64_t>(*number)};
  return named;
}

Error invalid(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

constexpr std::string_view kIdRemedy = "send it as a bare JSON integer that fits 64 bits";

std::optional<Error> read_id(const Properties& properties, RecordColumns& columns) {
  if (!properties.has(Id)) return invalid(fmt::format("id is missing: {}", kIdRemedy));
  if (const auto id = signed_integer(properties[Id])) {
    columns.id = *id;
  } else if (!properties[Id].is_uint64()) {
    return invalid(fmt::format("id is not an integer: {}", kIdRemedy));
  }
  return std::nullopt;
}

// Leaves `time_ms` alone when the property is absent.
std::optional<Error> read_time(const Properties& properties, Property property,
                               std::string_view name, std::int64_t& time_ms) {
  if (!properties.has(property)) return std::nullopt;
  std::string_view text;
  const bool is_string = properties[property].get(text) == simdjson::SUCCESS;
  const std::optional<std::int64_t> ms = is_string ? parse_timestamp(text) : std::nullopt;
  if (!ms) {
    return invalid(fmt::format(
        "{} is not a timestamp: write it as a string like \"2026-03-19T21:06:33.000Z\"", name));
  }
  time_ms = *ms;
  return std::nullopt;
}

std::optional<Error> read_usage(const Properties& properties, RecordColumns& columns) {
  if (auto error = read_id(properties, columns)) return error;
  if (!properties.has(StartTimestamp) && !properties.has(EndTimestamp)) {
    return invalid(
        "start_timestamp and end_timestamp are missing: a usage record needs one of them");
  }
  if (auto error = read_time(properties, StartTimestamp, "start_timestamp", columns.time_ms)) {
    return error;
  }
  if (auto error = read_time(properties, EndTimestamp, "end_timestamp", columns.time_ms)) {
    return error;
  }
  columns.type_id = id_column<std::int32_t>(properties, TrafficType, 0, -1);
  return std::nullopt;
}

std::optional<Error> read_event(const Properties& properties, RecordColumns& columns) {
  if (auto error = read_id(properties, columns)) return error;
  if (!properties.has(Timestamp)) {
    return invalid("timestamp is missing: an event needs one, like \"2026-03-19T21:06:33.000Z\"");
  }
  if (auto error = read_time(properties, Timestamp, "timestamp", columns.time_ms)) return error;
  const std::optional<dom::element> type =
      properties.has(EventType) ? last_member(properties[EventType], "id") : std::nullopt;
  if (!type || type->is_null()) {
    return invalid("event_type.id is missing: an event needs an integer event_type.id");
  }
  if (!type->is_int64() && !type->is_uint64()) {
    return invalid(fmt::format("event_type.id is not an integer: {}", kIdRemedy));
  }
  columns.type_id = id_column<std::int32_t>(properties, EventType, 0, -1);
  columns.severity_id = id_column<std::int8_t>(properties, EventSeverity, 0, -1);
  columns.source_id = id_column<std::int8_t>(properties, EventSource, 0, -1);
  columns.alert = alert_column(properties);
  return std::nullopt;
}

}  // namespace

struct RecordParser::Impl {
  // simdjson counts an empty object or array as no level: with this limit it never accepts more
  // than kDepthMax levels; what it refuses for its depth is looked at again.
  static constexpr std::size_t kFastDepthMax = kDepthMax;

  dom::parser fast;
  dom::parser careful;       // for the few records that `fast` cannot judge
  std::string careful_text;  // padded
  std::optional<OrganisationId> organisation_of_last;

  // The record as an object, or why it is none.
  Result<dom::object> read(std::string_view text);
};

Result<dom::object> RecordParser::Impl::read(std::string_view text) {
  if (!text.starts_with('{')) {
    return invalid("it is not a JSON object: each record must be one object");
  }
  dom::element root;
  std::string_view judged = text;
  simdjson::error_code error = fast.parse(text.data(), text.size(), false).get(root);
  if (error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR) {
    careful_text.reserve(text.size() + kPadding);
    careful_text = text;
    if (mask_numbers(careful_text) > kDepthMax) {
      return invalid(fmt::format("it is nested more than {} levels deep", kDepthMax));
    }
    judged = careful_text;
    error = careful.parse(judged.data(), judged.size(), false).get(root);
  }
  if (error != simdjson::SUCCESS) {
    const SyntaxFault fault = find_syntax_fault(judged);
    return invalid(
        fmt::format("it is not valid JSON, at its byte {}: {}", fault.position, fault.reason));
  }
  if (!surrogates_paired(text)) {
    return invalid("it holds an escaped lone surrogate (\\uD800 to \\uDFFF): escape both halves");
  }
  return root.get_object().value_unsafe();
}

RecordParser::RecordParser(std::size_t record_bytes_max) : impl_(std::make_unique<Impl>()) {
  const bool out_of_memory =
      impl_->fast.allocate(record_bytes_max, Impl::kFastDepthMax) != simdjson::SUCCESS ||
      impl_->fast.doc.allocate(record_bytes_max) != simdjson::SUCCESS;
  SLUICE_ASSERT(!out_of_memory);
}

RecordParser::~RecordParser() = default;

std::optional<OrganisationId> RecordParser::organisation_of_last() const {
  return impl_->organisation_of_last;
}

Result<ParsedRecord> RecordParser::parse(Kind kind, std::string_view text) {
  SLUICE_ASSERT(kind == Kind::Usage || kind == Kind::Event);
  impl_->organisation_of_last.reset();
  Result<dom::object> object = impl_->read(text);
  if (!object) return std::move(object.error());
  const Properties properties(*object);
  ParsedRecord record;
  auto error = kind == Kind::Usage ? read_usage(properties, record.columns)
                                   : read_event(properties, record.columns);
  if (error) {
    impl_->organisation_of_last = named_organisation(properties).id;
    return *std::move(error);
  }
  record.columns.endpoint_id = id_column<std::int64_t>(
      properties, Endpoint, std::numeric_limits<std::int64_t>::min(), RecordColumns::kAbsent);
  record.organisation = named_organisation(properties);
  return record;
}

}  // namespace sluice::ingest
