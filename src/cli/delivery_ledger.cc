#include "cli/delivery_ledger.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <charconv>

namespace sluice::cli {
namespace {

constexpr std::size_t kLineFields = 8;

// The fields of a line, split at single blanks; nullopt unless there are exactly kLineFields.
std::optional<std::array<std::string_view, kLineFields>> split(std::string_view line) {
  std::array<std::string_view, kLineFields> fields;
  for (std::size_t i = 0; i < kLineFields; ++i) {
    const std::size_t end = line.find(' ');
    if ((end == std::string_view::npos) != (i == kLineFields - 1)) return std::nullopt;
    fields[i] = line.substr(0, end);
    if (fields[i].empty()) return std::nullopt;
    if (end != std::string_view::npos) line.remove_prefix(end + 1);
  }
  return fields;
}

template <class Number>
bool read(std::string_view text, Number& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool read_hash(std::string_view text, BodyHash& hash) {
  return text.size() == 32 && read(text.substr(0, 16), hash.high, 16) &&
         read(text.substr(16), hash.low, 16);
}

}  // namespace

BodyHash hash_body(std::string_view body) {
  const XXH128_hash_t hash = XXH3_128bits(body.data(), body.size());
  return {hash.high64, hash.low64};
}

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::First: return "first";
    case Verdict::InOrder: return "in order";
    case Verdict::Repeat: return "repeat";
    case Verdict::Refused: return "refused";
    case Verdict::Unverified: return "unverified";
    case Verdict::Gap: return "gap";
    case Verdict::OutOfOrder: return "out of order";
    case Verdict::ChangedBody: return "changed body";
    case Verdict::Inconsistent: return "inconsistent";
  }
  return "";
}

Finding DeliveryLedger::note(const Arrival& arrival) {
  Finding finding = check(arrival);
  count(finding.verdict, arrival);
  const bool told = finding.verdict != Verdict::Inconsistent &&
                    finding.verdict != Verdict::ChangedBody &&
                    finding.verdict != Verdict::Unverified;
  if (told) remember(arrival);
  return finding;
}

Finding DeliveryLedger::check(const Arrival& arrival) {
  if (arrival.first > arrival.last || (arrival.previous && *arrival.previous >= arrival.first)) {
    return {Verdict::Inconsistent,
            fmt::format("offsets {}-{} behind {}", arrival.first, arrival.last,
                        arrival.previous ? std::to_string(*arrival.previous) : "nothing")};
  }
  const auto seen = ids_.find(std::string(arrival.webhook_id));
  if (seen != ids_.end()) {
    if (seen->second.body != arrival.body) {
      return {Verdict::ChangedBody,
              fmt::format("webhook-id {} came before with other bytes", arrival.webhook_id)};
    }
    if (seen->second.accepted) {
      return {Verdict::Repeat, std::string(verdict_name(Verdict::Repeat))};
    }
  }
  if (arrival.records == 0) return {Verdict::Inconsistent, "the body holds no records"};
  if (arrival.records > arrival.last - arrival.first + 1) {
    return {Verdict::Inconsistent, fmt::format("{} records in offsets {}-{}", arrival.records,
                                               arrival.first, arrival.last)};
  }
  return check_place(arrival);
}

Finding DeliveryLedger::check_place(const Arrival& arrival) {
  if (!arrival.accepted) return {Verdict::Refused, std::string(verdict_name(Verdict::Refused))};
  const auto stream = last_accepted_.find(std::string(arrival.stream));
  if (stream == last_accepted_.end()) {
    const Verdict verdict = streams() < kStreamsMax ? Verdict::First : Verdict::Unverified;
    return {verdict, std::string(verdict_name(verdict))};
  }
  const std::uint64_t last = stream->second;
  if (arrival.previous == last) {
    return {Verdict::InOrder, std::string(verdict_name(Verdict::InOrder))};
  }
  if (arrival.previous && *arrival.previous > last) {
    return {Verdict::Gap, fmt::format("gap: a batch up to offset {} is missing, the last that came "
                                      "ended at {}",
                                      *arrival.previous, last)};
  }
  return {Verdict::OutOfOrder,
          fmt::format("out of order: offsets {}-{} behind {}, but {} had come", arrival.first,
                      arrival.last,
                      arrival.previous ? std::to_string(*arrival.previous) : "nothing", last)};
}

void DeliveryLedger::count(Verdict verdict, const Arrival& arrival) {
  switch (verdict) {
    case Verdict::Repeat: ++totals_.repeats; return;
    case Verdict::Refused: ++totals_.refused; return;
    case Verdict::ChangedBody: ++totals_.changed_bodies; return;
    case Verdict::Inconsistent: ++totals_.inconsistent; return;
    case Verdict::Gap: ++totals_.gaps; break;
    case Verdict::OutOfOrder: ++totals_.out_of_order; break;
    case Verdict::First:
    case Verdict::InOrder:
    case Verdict::Unverified: break;
  }
  ++totals_.deliveries;
  totals_.records += arrival.records;
}

void DeliveryLedger::remember(const Arrival& arrival) {
  const auto [seen, is_new] =
      ids_.try_emplace(std::string(arrival.webhook_id), Seen{arrival.body, arrival.accepted});
  if (is_new) {
    ids_by_age_.push_back(seen->first);
    if (ids_by_age_.size() > kIdsRemembered) {
      ids_.erase(ids_by_age_.front());
      ids_by_age_.pop_front();
    }
  } else if (seen->second.accepted) {
    return;  // a repeat says nothing new about the stream's place
  } else {
    seen->second.accepted = arrival.accepted;
  }
  if (arrival.accepted) last_accepted_[std::string(arrival.stream)] = arrival.last;
}

std::string DeliveryLedger::line(const Arrival& arrival) {
  return fmt::format("{} {} {} {} {:016x}{:016x} {} {} {}", arrival.stream, arrival.first,
                     arrival.last, arrival.records, arrival.body.high, arrival.body.low,
                     arrival.webhook_id, arrival.previous ? std::to_string(*arrival.previous) : "-",
                     arrival.attempt);
}

Result<void> DeliveryLedger::restore(std::string_view line) {
  const auto fields = split(line);
  Arrival arrival;
  std::uint64_t previous = 0;
  const bool well_formed =
      fields && read((*fields)[1], arrival.first) && read((*fields)[2], arrival.last) &&
      read((*fields)[3], arrival.records) && read_hash((*fields)[4], arrival.body) &&
      ((*fields)[6] == "-" || read((*fields)[6], previous)) && read((*fields)[7], arrival.attempt);
  if (!well_formed) {
    return Error{ErrorCode::InvalidArgument, fmt::format("not a line of a ledger: '{}'", line)};
  }
  arrival.stream = (*fields)[0];
  arrival.webhook_id = (*fields)[5];
  remember(arrival);
  return {};
}

}  // namespace sluice::cli
