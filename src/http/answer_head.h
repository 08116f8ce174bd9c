#pragma once
#include <cstdint>
#include <string>

#include "http/server.h"

namespace sluice::http {

// What the answer's Connection header says; HTTP/1.1 stays open without one.
enum class Persistence : std::uint8_t { Implied, KeepAlive, Close };

// Where the body ends: by its announced length, by a last chunk, or with the connection.
enum class Framing : std::uint8_t { Length, Chunked, Connection };

// Appends status line and header. 1xx, 204 and 304 announce no body.
void append_answer_head(std::string& out, const Response& response, Persistence persistence,
                        Framing framing = Framing::Length);

// Whether an answer of that status carries a body at all.
bool has_body(int status);

}  // namespace sluice::http
