#include "ingest/body_reader.h"

#include <fmt/format.h>

#include <utility>

#include "base/flat_map.h"
#include "ingest/redaction.h"

namespace sluice::ingest {

namespace {

class BodyReader {
 public:
  BodyReader(std::span<char> body, const ReadOptions& options, RecordParser& parser)
      : body_(body), options_(options), parser_(parser) {}

  std::variant<Batch, Refusal> read() {
    Splitter splitter({body_.data(), body_.size()}, options_.framing);
    while (const auto raw = splitter.next()) {
      take(*raw);
      if (refusal_) return *std::move(refusal_);
      ++index_;
    }
    if (!splitter.fault().empty()) return body_refusal(splitter.fault());
    if (faults_ > 0 && !options_.skip_invalid) return records_refusal();
    join_neighbours();
    return std::move(batch_);
  }

 private:
  void take(const RawRecord& raw) {
    if (raw.bytes.size() > options_.record_bytes_max) {
      if (options_.skip_large) {
        return fault(raw, std::nullopt,
                     fmt::format("larger than the limit of {} bytes", options_.record_bytes_max));
      }
      refusal_ = Refusal{http::ErrorToken::RecordTooLarge,
                         fmt::format("The record at index {} is larger than the limit of {} bytes.",
                                     index_, options_.record_bytes_max)};
      return;
    }
    const Result<ParsedRecord> parsed = parser_.parse(options_.kind, raw.bytes);
    if (!parsed) return fault(raw, parser_.organisation_of_last(), parsed.error().message);
    const std::optional<OrganisationId> organisation = organisation_of(raw, parsed->organisation);
    if (!organisation || (faults_ > 0 && !options_.skip_invalid)) return;
    store(raw.bytes, *parsed, *organisation);
  }

  // Nullopt: there is a fault or a refusal now.
  std::optional<OrganisationId> organisation_of(const RawRecord& raw,
                                                const NamedOrganisation& named) {
    if (options_.requested) return options_.requested;
    if (named.unusable) {
      fault(raw, std::nullopt,
            "organisation.id is not an organisation's number: send it as a bare JSON integer "
            "from 0 to 2^63-1");
      return std::nullopt;
    }
    if (!named.id) {
      if (!options_.token) {
        fault(raw, std::nullopt,
              "organisation.id is missing, and the token has no organisation of its own: name it "
              "in the record or as ?organisation_id=");
      }
      return options_.token;
    }
    if (options_.token_bound && options_.token && *options_.token != *named.id) {
      refusal_ = Refusal{http::ErrorToken::Forbidden,
                         fmt::format("The record at index {} belongs to organisation {}, but this "
                                     "token is bound to organisation {}.",
                                     index_, named.id->value(), options_.token->value())};
      return std::nullopt;
    }
    return named.id;
  }

  void store(std::string_view bytes, const ParsedRecord& parsed, OrganisationId organisation) {
    if (options_.redact_tokens && options_.kind == Kind::Event &&
        carries_tokens(parsed.columns.type_id)) {
      if (auto redacted = redact(bytes)) {
        bytes = batch_.rewritten.emplace_back(*std::move(redacted));
      }
    }
    const std::size_t group = group_of(organisation);
    batch_.groups[group].records.push_back({bytes, parsed.columns});
    SeenOrganisation& seen = batch_.organisations[group];
    const std::string_view name = parsed.organisation.name;
    if (seen.name_bytes == 0 && parsed.organisation.id == organisation &&
        name.size() <= kOrganisationNameBytesMax) {
      seen.name_begin = static_cast<std::uint32_t>(batch_.names.size());
      seen.name_bytes = static_cast<std::uint32_t>(name.size());
      batch_.names += name;
    }
    ++batch_.records;
    batch_.bytes += bytes.size();
  }

  std::size_t group_of(OrganisationId organisation) {
    if (!batch_.groups.empty() && batch_.groups[group_].organisation == organisation) {
      return group_;
    }
    bool is_new = batch_.groups.empty();
    if (!is_new) {
      // The first mostly stays the only one, and needs no map.
      if (batch_.groups.size() == 1) group_by_organisation_[batch_.groups[0].organisation] = 0;
      const auto [found, added] =
          group_by_organisation_.try_emplace(organisation, batch_.groups.size());
      group_ = found->second;
      is_new = added;
    }
    if (is_new) {
      batch_.groups.push_back({.organisation = organisation, .kind = options_.kind, .records = {}});
      batch_.organisations.push_back({.id = organisation});
    }
    return group_;
  }

  // `named`: what the record itself says, if anything.
  void fault(const RawRecord& raw, std::optional<OrganisationId> named, std::string message) {
    ++faults_;
    RecordFault found{.index = index_, .line = raw.line, .message = std::move(message)};
    if (options_.skip_invalid) {
      batch_.rejected.push_back({std::move(found), rejected_for(named), raw.bytes});
    } else if (faults_ <= kFaultsListedMax) {
      listed_.push_back(std::move(found));
    }
    if (faults_ > faults_max()) refusal_ = records_refusal();
  }

  std::optional<OrganisationId> rejected_for(std::optional<OrganisationId> named) const {
    if (options_.requested) return options_.requested;
    return named && !options_.token_bound ? named : options_.token;
  }

  std::size_t faults_max() const {
    return options_.skip_invalid ? kRejectedMax : kFaultsCountedMax;
  }

  Refusal body_refusal(const std::string& what) {
    if (faults_ == 0) return {http::ErrorToken::MalformedBody, what};
    const RecordFault& first =
        options_.skip_invalid ? batch_.rejected.front().fault : listed_.front();
    return {http::ErrorToken::MalformedBody,
            fmt::format("{} Before that, the record at index {} is invalid: {}.", what, first.index,
                        first.message)};
  }

  Refusal records_refusal() {
    std::string message = faults_ > faults_max()
                              ? fmt::format("More than {} of the records are invalid", faults_max())
                              : fmt::format("{} of the {} records {} invalid", faults_, index_,
                                            faults_ == 1 ? "is" : "are");
    message += ": nothing of this request was stored.";
    if (faults_ > kFaultsListedMax) {
      message += fmt::format(" The first {} are listed.", kFaultsListedMax);
    }
    return {http::ErrorToken::InvalidRecord, std::move(message), std::move(listed_)};
  }

  void join_neighbours() {
    for (const recordlog::NewRecords& group : batch_.groups) {
      for (std::size_t i = 1; i < group.records.size(); ++i) {
        const std::string_view before = group.records[i - 1].bytes;
        const char* const gap = before.data() + before.size();
        if (group.records[i].bytes.data() == gap + 1)
          body_[static_cast<std::size_t>(gap - body_.data())] = ',';
      }
    }
  }

  std::span<char> body_;
  const ReadOptions& options_;
  RecordParser& parser_;
  Batch batch_;
  std::size_t group_ = 0;  // the last record's
  FlatMap<OrganisationId, std::size_t> group_by_organisation_;
  std::uint32_t index_ = 0;
  std::size_t faults_ = 0;
  std::vector<RecordFault> listed_;
  std::optional<Refusal> refusal_;
};

}  // namespace

std::variant<Batch, Refusal> read_body(std::span<char> body, const ReadOptions& options,
                                       RecordParser& parser) {
  return BodyReader(body, options, parser).read();
}

}  // namespace sluice::ingest
