#include "ingest/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace sluice::ingest {
namespace {

using http::ErrorToken;

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// Takes what comes before `separator` off the front of `list`, and the separator.
std::string_view take_until(std::string_view& list, char separator) {
  const std::size_t end = std::min(list.find(separator), list.size());
  const std::string_view item = list.substr(0, end);
  list.remove_prefix(std::min(end + 1, list.size()));
  return item;
}

// X-Sluice-Hops: a list of `<installation>:<hops>`.
bool has_passed_through(const http::RequestHead& head, std::string_view installation) {
  for (const auto& [name, value] : head.headers) {
    if (!equals_ignoring_case(name, "X-Sluice-Hops")) continue;
    for (std::string_view list = value; !list.empty();) {
      const std::string_view hop = trimmed(take_until(list, ','));
      if (hop.substr(0, hop.rfind(':')) == installation) return true;
    }
  }
  return false;
}

bool announces_a_body(const http::RequestHead& head) {
  return head.content_length.value_or(0) > 0 || !head.header("Transfer-Encoding").empty();
}

std::optional<Refusal> read_content_type(const http::RequestHead& head, Framing& framing) {
  std::string_view value = head.header("Content-Type");
  const std::string_view type = trimmed(take_until(value, ';'));
  if (equals_ignoring_case(type, "application/json") || (type.empty() && !announces_a_body(head))) {
    framing = Framing::Json;
  } else if (equals_ignoring_case(type, "application/x-ndjson")) {
    framing = Framing::Lines;
  } else {
    return Refusal{ErrorToken::UnsupportedMediaType,
                   "The Content-Type must be application/json (an object or an array) or "
                   "application/x-ndjson (an object a line)."};
  }
  return std::nullopt;
}

std::optional<Refusal> read_encoding(const http::RequestHead& head, Encoding& encoding) {
  bool is_given = false;
  for (const auto& [name, value] : head.headers) {
    if (!equals_ignoring_case(name, "Content-Encoding") || trimmed(value).empty()) continue;
    const std::string_view wanted = trimmed(value);
    const bool is_gzip =
        equals_ignoring_case(wanted, "gzip") || equals_ignoring_case(wanted, "x-gzip");
    const bool is_zstd = equals_ignoring_case(wanted, "zstd");
    if (is_given || !(is_gzip || is_zstd || equals_ignoring_case(wanted, "identity"))) {
      return Refusal{ErrorToken::UnsupportedEncoding,
                     "The Content-Encoding is not supported: send the body as it is, or packed "
                     "once, with gzip or zstd."};
    }
    is_given = true;
    encoding = is_gzip ? Encoding::Gzip : is_zstd ? Encoding::Zstd : Encoding::Identity;
  }
  return std::nullopt;
}

std::optional<Refusal> read_organisation_id(std::string_view value,
                                            std::optional<OrganisationId>& organisation) {
  if (organisation) {
    return Refusal{ErrorToken::BadQuery, "The query parameter organisation_id is there twice."};
  }
  std::int64_t id = -1;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), id);
  if (read.ec != std::errc() || read.ptr != value.data() + value.size() || id < 0) {
    return Refusal{ErrorToken::BadQuery,
                   "The query parameter organisation_id must be an organisation's number."};
  }
  organisation = OrganisationId{static_cast<std::uint64_t>(id)};
  return std::nullopt;
}

std::optional<Refusal> read_on_invalid(std::string_view value, std::optional<bool>& skip) {
  if (skip) {
    return Refusal{ErrorToken::BadQuery, "The query parameter on_invalid is there twice."};
  }
  if (value != "skip" && value != "refuse") {
    return Refusal{ErrorToken::BadQuery, "The query parameter on_invalid must be skip or refuse."};
  }
  skip = value == "skip";
  return std::nullopt;
}

std::optional<Refusal> read_query(std::string_view query, HeadOptions& options) {
  constexpr std::size_t kShownBytesMax = 100;
  std::optional<bool> skip;
  while (!query.empty()) {
    std::string_view value = take_until(query, '&');
    if (value.empty()) continue;
    const std::string_view name = take_until(value, '=');
    std::optional<Refusal> refusal;
    if (name == "organisation_id") {
      refusal = read_organisation_id(value, options.organisation);
    } else if (name == "on_invalid") {
      refusal = read_on_invalid(value, skip);
    } else {
      refusal = Refusal{ErrorToken::BadQuery,
                        fmt::format("The query parameter \"{}\" is not known here: leave it out.",
                                    name.substr(0, kShownBytesMax))};
    }
    if (refusal) return refusal;
  }
  options.skip_invalid = skip.value_or(false);
  return std::nullopt;
}

std::optional<Refusal> read_idempotency_key(const http::RequestHead& head, std::string_view& key) {
  constexpr std::size_t kKeyBytesMax = 255;
  const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
  bool is_given = false;
  for (const auto& [name, value] : head.headers) {
    if (!equals_ignoring_case(name, "Idempotency-Key")) continue;
    key = trimmed(value);
    if (is_given || key.empty() || key.size() > kKeyBytesMax ||
        !std::all_of(key.begin(), key.end(), is_printable)) {
      return Refusal{ErrorToken::BadHeader,
                     fmt::format("The header Idempotency-Key must be there once and hold 1 to {} "
                                 "printable ASCII characters.",
                                 kKeyBytesMax)};
    }
    is_given = true;
  }
  return std::nullopt;
}

}  // namespace

std::variant<HeadOptions, Refusal> read_head(const http::RequestHead& head,
                                             const Identity& identity, const Settings& settings) {
  if (identity.role != Role::Ingest && identity.role != Role::Operator) {
    return Refusal{ErrorToken::Forbidden,
                   fmt::format("A token of role {} cannot store records: it needs role ingest or "
                               "operator.",
                               role_name(identity.role))};
  }
  if (!settings.installation.empty() && has_passed_through(head, settings.installation)) {
    return Refusal{ErrorToken::Loop,
                   "X-Sluice-Hops says that these records come from this very installation: "
                   "one of its streams leads back to it."};
  }
  HeadOptions options;
  if (auto refusal = read_content_type(head, options.framing)) return *std::move(refusal);
  if (auto refusal = read_encoding(head, options.encoding)) return *std::move(refusal);
  if (auto refusal = read_query(head.query, options)) return *std::move(refusal);
  if (auto refusal = read_idempotency_key(head, options.idempotency_key))
    return *std::move(refusal);
  if (identity.bound() && options.organisation && *options.organisation != *identity.organisation) {
    return Refusal{ErrorToken::Forbidden,
                   fmt::format("This token is bound to organisation {} and cannot store records "
                               "for organisation {}.",
                               identity.organisation->value(), options.organisation->value())};
  }
  if (head.content_length.value_or(0) > settings.body_bytes_max) {
    return Refusal{ErrorToken::BodyTooLarge,
                   fmt::format("The body is larger than the limit of {} bytes: send fewer records "
                               "at a time.",
                               settings.body_bytes_max)};
  }
  return options;
}

}  // namespace sluice::ingest
