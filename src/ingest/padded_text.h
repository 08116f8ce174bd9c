#pragma once
// For the tests: a text laid out as the HTTP listener lays out bodies, with rubbish behind it.

#include <cstring>
#include <memory>
#include <string_view>

#include "http/server.h"

namespace sluice::ingest {

// The padding opens strings and closes brackets: who believes it, is caught.
inline http::Body make_body(std::string_view text) {
  auto storage = std::make_unique<char[]>(text.size() + http::Body::kPadding);
  std::memcpy(storage.get(), text.data(), text.size());
  for (std::size_t i = 0; i < http::Body::kPadding; ++i) {
    storage[text.size() + i] = "}]\"\\"[i % 4];
  }
  return {std::move(storage), text.size()};
}

}  // namespace sluice::ingest
