#include "cli/record_sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "cli/gzip.h"

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstWait(500);
constexpr milliseconds kWaitMax(30'000);

std::string random_key() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

bool may_pass(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
         status == 503 || status == 504;
}

// The answer as JSON; a discarded value for anything that is none (a proxy's page, say).
nlohmann::json parse(const PostAnswer& answer) {
  return nlohmann::json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
}

template <class T>
std::optional<T> member(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) return std::nullopt;
  } else {
    if (!found->is_number_unsigned()) return std::nullopt;
  }
  return found->get<T>();
}

std::string describe(const PostAnswer& answer) {
  const nlohmann::json body = parse(answer);
  const auto message = member<std::string>(body, "message");
  const auto token = member<std::string>(body, "error_token");
  if (!message) return fmt::format("the server answered {}", answer.status);
  return fmt::format("{} {}: {}", answer.status, token.value_or("error"), *message);
}

std::vector<InvalidRecord> invalid_records(const nlohmann::json& body) {
  std::vector<InvalidRecord> records;
  const auto errors = body.is_object() ? body.find("errors") : body.end();
  if (!body.is_object() || errors == body.end() || !errors->is_array()) return records;
  for (const nlohmann::json& error : *errors) {
    records.push_back({member<std::uint64_t>(error, "index").value_or(0),
                       member<std::uint64_t>(error, "line"),
                       member<std::string>(error, "message").value_or("invalid")});
  }
  return records;
}

std::optional<Accepted> acceptance(const nlohmann::json& body) {
  const auto records = member<std::uint64_t>(body, "accepted");
  if (!records) return std::nullopt;
  const auto replayed = body.find("replayed");
  return Accepted{.records = *records,
                  .rejected = member<std::uint64_t>(body, "rejected").value_or(0),
                  .replayed = replayed != body.end() && *replayed == true,
                  .invalid = invalid_records(body)};
}

}  // namespace

RecordSender::RecordSender(Options options) : options_(std::move(options)) {
  if (!options_.make_key) options_.make_key = random_key;
}

SendResult RecordSender::send(Kind kind, BodyForm form, std::string_view body) {
  const std::string path = fmt::format("/api/v2/records/{}{}", path_name(kind),
                                       options_.skip_invalid ? "?on_invalid=skip" : "");
  const std::string key = options_.make_key();
  const std::string_view type =
      form == BodyForm::Lines ? "application/x-ndjson" : "application/json";
  const std::optional<std::string> packed =
      options_.gzip ? gzip_if_it_helps(body) : std::optional<std::string>();
  const PostRequest request{.path_and_query = path,
                            .content_type = type,
                            .body = packed ? std::string_view(*packed) : body,
                            .idempotency_key = key,
                            .content_encoding = packed ? "gzip" : ""};
  milliseconds back_off = kFirstWait;
  milliseconds waited(0);
  for (;;) {
    const auto answer = options_.post(request);
    std::string trouble;
    milliseconds wait = back_off;
    if (!answer) {
      trouble = answer.error().message;
    } else if (answer->status >= 200 && answer->status < 300) {
      std::optional<Accepted> accepted = acceptance(parse(*answer));
      if (accepted) return *std::move(accepted);
      return Refused{answer->status, "the answer is not a Sluice server's: no \"accepted\"", {}};
    } else if (may_pass(answer->status)) {
      trouble = describe(*answer);
      wait = std::max(wait, milliseconds(1000) * answer->retry_after_s.value_or(0));
    } else {
      return Refused{answer->status, describe(*answer), invalid_records(parse(*answer))};
    }
    if (waited + wait > options_.retry_for) return GaveUp{std::move(trouble)};
    options_.report(
        fmt::format("{}; next try in {:.1f} s", trouble, static_cast<double>(wait.count()) / 1000));
    if (!options_.pause(wait)) return Stopped{};
    waited += wait;
    back_off = std::min(kWaitMax, back_off * 2);
  }
}

}  // namespace sluice::cli
