#include "formats/csv.h"

#include <simdjson.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.h"
#include "base/timestamp.h"
#include "catalogue/catalogue.h"
#include "formats/decimal.h"

namespace sluice::formats {
namespace {

namespace ondemand = simdjson::ondemand;

enum class Rule : std::uint8_t {
  Plain,      // text, or a number or flag as it stands
  Time,       // in one form
  Volume,     // 6 decimals
  Cost,       // 10 decimals
  Flag,       // the older 0 and 1 too
  EventType,  // the catalogue's name of the id, else what the record says
  Json,       // whatever it is, as JSON
};

struct Column {
  std::string_view name;
  std::string_view path;  // of the value in the record
  Rule rule = Rule::Plain;
  std::string_view otherwise = {};  // the path where there is nothing at the first
};

constexpr auto kUsage = std::to_array<Column>({
    {"id", "id"},
    {"event_start_timestamp", "start_timestamp", Rule::Time},
    {"event_stop_timestamp", "end_timestamp", Rule::Time},
    {"organisation_id", "organisation.id"},
    {"organisation_name", "organisation.name"},
    {"endpoint_id", "endpoint.id"},
    {"sim_id", "sim.id"},
    {"iccid", "sim.iccid"},
    {"imsi", "imsi", Rule::Plain, "imsi.imsi"},
    {"operator_id", "operator.id"},
    {"operator_name", "operator.name"},
    {"country_id", "operator.country.id"},
    {"operator_country_name", "operator.country.name"},
    {"traffic_type_id", "traffic_type.id"},
    {"traffic_type_description", "traffic_type.description", Rule::Plain, "traffic_type.name"},
    {"volume", "volume.total", Rule::Volume},
    {"volume_tx", "volume.tx", Rule::Volume},
    {"volume_rx", "volume.rx", Rule::Volume},
    {"cost", "cost", Rule::Cost},
    {"currency_id", "currency.id"},
    {"currency_code", "currency.code"},
    {"currency_symbol", "currency.symbol"},
    {"ratezone_tariff_id", "tariff.id"},
    {"ratezone_tariff_name", "tariff.name"},
    {"ratezone_id", "tariff.ratezone.id"},
    {"ratezone_name", "tariff.ratezone.name"},
    {"endpoint_name", "endpoint.name"},
    {"endpoint_ip_address", "endpoint.ip_address"},
    {"endpoint_tags", "endpoint.tags"},
    {"endpoint_imei", "endpoint.imei"},
    {"msisdn_msisdn", "sim.msisdn"},
    {"sim_production_date", "sim.production_date", Rule::Time},
    {"operator_mncs", "operator.mnc"},
    {"country_mcc", "operator.country.mcc"},
});

// The first ten are inferred, the sixteen behind them the vendor's, the last ours. New columns go
// to the end.
constexpr auto kEvent = std::to_array<Column>({
    {"id", "id"},
    {"timestamp", "timestamp", Rule::Time},
    {"event_type_id", "event_type.id"},
    {"event_type_description", "event_type.description", Rule::EventType, "event_type.name"},
    {"event_severity_id", "event_severity.id"},
    {"event_severity_description", "event_severity.description", Rule::Plain,
     "event_severity.name"},
    {"organisation_id", "organisation.id"},
    {"organisation_name", "organisation.name"},
    {"alert", "alert", Rule::Flag},
    {"description", "description"},
    {"endpoint_id", "endpoint.id"},
    {"endpoint_name", "endpoint.name"},
    {"endpoint_imei", "endpoint.imei"},
    {"endpoint_ip_address", "endpoint.ip_address"},
    {"endpoint_tags", "endpoint.tags"},
    {"event_source_id", "event_source.id"},
    {"event_source_name", "event_source.description", Rule::Plain, "event_source.name"},
    {"sim_id", "sim.id"},
    {"sim_iccid", "sim.iccid"},
    {"msisdn_msisdn", "sim.msisdn"},
    {"sim_production_date", "sim.production_date", Rule::Time},
    {"imsi_id", "imsi.id"},
    {"imsi_imsi", "imsi.imsi", Rule::Plain, "imsi"},
    {"user_id", "user.id"},
    {"user_username", "user.username"},
    {"user_name", "user.name"},
    {"detail", "detail", Rule::Json},
});
constexpr std::size_t kEventTypeId = 2;
static_assert(kEvent[kEventTypeId].path == "event_type.id");
constexpr std::size_t kColumnsMax = std::max(kUsage.size(), kEvent.size());

// A value as it was found. Views into the record's copy or the parser's buffer.
struct Cell {
  enum class Is : std::uint8_t { Absent, Text, Number, Other };
  std::string_view text;  // Text: unescaped; else JSON
  Is is = Is::Absent;
};
// Of each column what lies at `path`, then of each what lies at `otherwise`.
using Cells = std::array<Cell, 2 * kColumnsMax>;

// The paths of a table as a tree.
struct Node {
  std::string_view key;
  std::optional<std::size_t> cell;
  bool whole = false;  // objects too are taken as they are
  std::vector<Node> below;
};

void add_path(Node& root, std::string_view path, std::size_t cell, bool whole) {
  Node* node = &root;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('.'), path.size());
    const std::string_view key = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    auto found = std::ranges::find(node->below, key, &Node::key);
    if (found == node->below.end()) {
      node->below.push_back({.key = key, .cell = {}, .whole = false, .below = {}});
      found = std::prev(node->below.end());
    }
    node = &*found;
  }
  node->cell = cell;
  node->whole = whole;
}

struct Table {
  std::span<const Column> columns;
  Node root;
  std::string header;

  explicit Table(std::span<const Column> columns_in) : columns(columns_in) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      add_path(root, columns[i].path, i, columns[i].rule == Rule::Json);
      if (!columns[i].otherwise.empty()) {
        add_path(root, columns[i].otherwise, kColumnsMax + i, false);
      }
      header += i == 0 ? "\"" : ",\"";
      header += columns[i].name;
      header += '"';
    }
    header += '\n';
  }
};

const Table& table_of(Kind kind) {
  static const Table usage(kUsage);
  static const Table event(kEvent);
  SLUICE_ASSERT(kind == Kind::Usage || kind == Kind::Event);
  return kind == Kind::Usage ? usage : event;
}

std::string_view trimmed(std::string_view json) {
  const std::size_t end = json.find_last_not_of(" \t\r\n");
  return json.substr(0, end == json.npos ? 0 : end + 1);
}

// Of equal keys the last counts.
void clear(const Node& node, Cells& cells) {
  if (node.cell) cells[*node.cell] = {};
  for (const Node& below : node.below) clear(below, cells);
}

void take_scalar(ondemand::value& value, ondemand::json_type type, Cell& cell) {
  if (type == ondemand::json_type::string) {
    if (value.get_string().get(cell.text) == simdjson::SUCCESS) cell.is = Cell::Is::Text;
  } else {
    cell.text = trimmed(value.raw_json_token());
    const bool number = type == ondemand::json_type::number;
    cell.is = number ? Cell::Is::Number : Cell::Is::Other;
  }
}

// "" for what cannot be read.
std::string_view raw_json(ondemand::value& value, ondemand::json_type type) {
  std::string_view raw;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    const bool read = value.get_object().get(object) == simdjson::SUCCESS &&
                      object.raw_json().get(raw) == simdjson::SUCCESS;
    return read ? raw : "";
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    const bool read = value.get_array().get(array) == simdjson::SUCCESS &&
                      array.raw_json().get(raw) == simdjson::SUCCESS;
    return read ? raw : "";
  }
  return trimmed(value.raw_json_token());
}

void walk(ondemand::object object, const Node& node, Cells& cells);

void take(ondemand::value value, const Node& node, Cells& cells) {
  clear(node, cells);
  ondemand::json_type type;
  if (value.type().get(type) != simdjson::SUCCESS || type == ondemand::json_type::null) return;
  const bool composed = type == ondemand::json_type::object || type == ondemand::json_type::array;
  if (node.whole || (composed && node.below.empty())) {
    if (node.cell) cells[*node.cell] = {raw_json(value, type), Cell::Is::Other};
  } else if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object) == simdjson::SUCCESS) walk(object, node, cells);
  } else if (!composed && node.cell) {
    take_scalar(value, type, cells[*node.cell]);
  }
}

// A key without escapes, as nearly all are, is taken where it stands. nullopt: it cannot be read.
std::optional<std::string_view> key_of(ondemand::field& field) {
  const char* const begin = field.key().raw();
  const char* end = begin;
  while (*end != '"' && *end != '\\') ++end;  // the parser has seen that the text ends
  if (*end == '"') return std::string_view(begin, end);
  std::string_view key;
  if (field.unescaped_key().get(key) != simdjson::SUCCESS) return std::nullopt;
  return key;
}

void walk(ondemand::object object, const Node& node, Cells& cells) {
  for (auto result : object) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) return;
    const std::optional<std::string_view> name = key_of(field);
    if (!name) return;
    const std::string_view key = *name;
    const auto found = std::ranges::find_if(node.below, [key](const Node& below) {
      return below.key.size() == key.size() && below.key.front() == key.front() && below.key == key;
    });
    if (found != node.below.end()) take(field.value(), *found, cells);
  }
}

// Puts text into room that is known to be enough.
class Writer {
 public:
  explicit Writer(char* at) : at_(at) {}

  void put(char c) { *at_++ = c; }
  void put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void put_quoted(std::string_view text) {
    if (text.empty()) return;
    put('"');
    for (std::size_t end; (end = text.find('"')) != text.npos; text.remove_prefix(end + 1)) {
      put(text.substr(0, end + 1));
      put('"');
    }
    put(text);
    put('"');
  }
  void put_two(unsigned number) {
    put(static_cast<char>('0' + number / 10 % 10));
    put(static_cast<char>('0' + number % 10));
  }
  const char* end() const { return at_; }

 private:
  char* at_;
};

// What a cell may need beside its text doubled: quotes, comma, a time, zeros.
constexpr std::size_t kCellRoom = 32;
constexpr std::size_t kEventTypeRoom = 512;  // the catalogue's names are shorter

// What is no time stays as it is.
void put_time(Writer& out, std::string_view text) {
  const std::optional<std::int64_t> ms = text.empty() ? std::nullopt : parse_timestamp(text);
  if (!ms) return out.put_quoted(text);
  using namespace std::chrono;
  const auto seconds_since = floor<seconds>(sys_time<milliseconds>(milliseconds(*ms)));
  const auto day = floor<days>(seconds_since);
  const year_month_day date(day);
  const hh_mm_ss time(seconds_since - day);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  out.put('"');
  out.put_two(year / 100);
  out.put_two(year % 100);
  out.put('-');
  out.put_two(static_cast<unsigned>(date.month()));
  out.put('-');
  out.put_two(static_cast<unsigned>(date.day()));
  out.put(' ');
  out.put_two(static_cast<unsigned>(time.hours().count()));
  out.put(':');
  out.put_two(static_cast<unsigned>(time.minutes().count()));
  out.put(':');
  out.put_two(static_cast<unsigned>(time.seconds().count()));
  out.put('"');
}

// Written out, where it has an exponent: then it lies in `room`.
void write_out(Cell& cell, std::string& room) {
  const auto is_exponent = [](char c) { return c == 'e' || c == 'E'; };
  if (cell.is != Cell::Is::Number || std::ranges::none_of(cell.text, is_exponent)) return;
  room.clear();
  append_decimal(room, cell.text, 0);
  cell.text = room;
}

// `cell` is written out.
void put_number(Writer& out, const Cell& cell, std::size_t decimals) {
  if (cell.is != Cell::Is::Number) return out.put_quoted(cell.text);
  const std::size_t point = std::min(cell.text.find('.'), cell.text.size());
  const std::size_t behind = cell.text.size() - std::min(point + 1, cell.text.size());
  out.put('"');
  out.put(cell.text);
  if (point == cell.text.size()) out.put('.');
  for (std::size_t zeros = behind; zeros < decimals; ++zeros) out.put('0');
  out.put('"');
}

std::string_view event_type_name(const Cell& id, std::string_view said) {
  std::int64_t number = 0;
  const auto [end, fault] =
      std::from_chars(id.text.data(), id.text.data() + id.text.size(), number);
  if (fault != std::errc{} || end != id.text.data() + id.text.size()) return said;
  return catalogue::name_of(catalogue::event_types(), number).value_or(said);
}

void put_cell(Writer& out, Rule rule, const Cell& cell, const Cells& cells) {
  switch (rule) {
    case Rule::Time: return put_time(out, cell.text);
    case Rule::Volume: return put_number(out, cell, 6);
    case Rule::Cost: return put_number(out, cell, 10);
    case Rule::Flag:
      if (cell.text == "0") return out.put_quoted("false");
      if (cell.text == "1") return out.put_quoted("true");
      return out.put_quoted(cell.text);
    case Rule::EventType: return out.put_quoted(event_type_name(cells[kEventTypeId], cell.text));
    case Rule::Plain:
    case Rule::Json: return out.put_quoted(cell.text);
  }
}

}  // namespace

struct Csv::Impl {
  ondemand::parser parser;
  std::string copy;  // of the record, with the room behind it that the parser needs
  std::string row;   // its room
  std::array<std::string, kColumnsMax> written_out;
};

Csv::Csv() : impl_(std::make_unique<Impl>()) {}
Csv::~Csv() = default;

const std::string& Csv::header(Kind kind) { return table_of(kind).header; }

void Csv::append(std::string& out, Kind kind, std::string_view record) {
  const Table& table = table_of(kind);
  std::string& copy = impl_->copy;
  copy.assign(record);
  copy.append(simdjson::SIMDJSON_PADDING, ' ');
  Cells cells;
  ondemand::document document;
  ondemand::object object;
  const simdjson::padded_string_view padded(copy.data(), record.size(), copy.size());
  if (impl_->parser.iterate(padded).get(document) == simdjson::SUCCESS &&
      document.get_object().get(object) == simdjson::SUCCESS) {
    walk(object, table.root, cells);
  }
  std::size_t room = kEventTypeRoom;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    Cell& cell = cells[i];
    if (cell.is == Cell::Is::Absent) cell = cells[kColumnsMax + i];
    const Rule rule = table.columns[i].rule;
    if (rule == Rule::Volume || rule == Rule::Cost) write_out(cell, impl_->written_out[i]);
    room += 2 * cell.text.size() + kCellRoom;
  }
  if (impl_->row.size() < room) impl_->row.resize(room);
  Writer row(impl_->row.data());
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (i > 0) row.put(',');
    put_cell(row, table.columns[i].rule, cells[i], cells);
  }
  row.put('\n');
  out.append(impl_->row.data(), static_cast<std::size_t>(row.end() - impl_->row.data()));
}

}  // namespace sluice::formats
