#include "cli/record_sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

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

Refused refusal(const PostAnswer& answer) {
  Refused refused{answer.status, describe(answer), {}};
  const nlohmann::json body = parse(answer);
  const auto errors = body.is_object() ? body.find("errors") : body.end();
  if (!body.is_object() || errors == body.end() || !errors->is_array()) return refused;
  for (const nlohmann::json& error : *errors) {
    refused.records.push_back({member<std::uint64_t>(error, "index").value_or(0),
                               member<std::uint64_t>(error, "line"),
                               member<std::string>(error, "message").value_or("invalid")});
  }
  return refused;
}

}  // namespace

RecordSender::RecordSender(Options options) : options_(std::move(options)) {
  if (!options_.make_key) options_.make_key = random_key;
}

SendResult RecordSender::send(Kind kind, BodyForm form, std::string_view body) {
  const std::string path = fmt::format("/api/v2/records/{}", path_name(kind));
  const std::string key = options_.make_key();
  const std::string_view type =
      form == BodyForm::Lines ? "application/x-ndjson" : "application/json";
  milliseconds back_off = kFirstWait;
  milliseconds waited(0);
  for (;;) {
    const auto answer = options_.post({path, type, body, key});
    std::string trouble;
    milliseconds wait = back_off;
    if (!answer) {
      trouble = answer.error().message;
    } else if (answer->status >= 200 && answer->status < 300) {
      const auto accepted = member<std::uint64_t>(parse(*answer), "accepted");
      if (accepted) return Accepted{*accepted};
      return Refused{answer->status, "the answer is not a Sluice server's: no \"accepted\"", {}};
    } else if (may_pass(answer->status)) {
      trouble = describe(*answer);
      wait = std::max(wait, milliseconds(1000) * answer->retry_after_s.value_or(0));
    } else {
      return refusal(*answer);
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
