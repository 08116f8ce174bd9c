#pragma once
// One request and its answer on a connection.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/awaitable.h"
#include "base/result.h"
#include "egress/answer.h"
#include "egress/attempt.h"
#include "egress/connection.h"
#include "egress/gather.h"
#include "egress/http_client.h"
#include "egress/url.h"

namespace sluice::egress {

// Of headers: compared without regard to ASCII case.
bool same_name(std::string_view a, std::string_view b);

// A plain request through a proxy names its target whole.
struct ViaProxy {
  std::string_view authorization;  // "" = none
};

// Up to and with the empty line.
std::string request_head(const HttpRequest& request, const Url& url,
                         const std::optional<ViaProxy>& via_proxy);

// Sends all of `request` and reads the answer, which may begin before everything is sent; a refusal
// (300 and up) ends the sending. A 2xx given before the whole body was sent counts only once it
// was: its receiver cannot have taken what it has not seen. Success: answer.status() counts; from
// then on at most a second goes into the rest of the answer. `room` is used between waits only, so
// that all exchanges of a loop may share it. All of it outlives the coroutine.
Awaitable<Result<void>> exchange(Connection& connection, Gather& request, AnswerReader& answer,
                                 Attempt& attempt, std::span<char> room);

}  // namespace sluice::egress
