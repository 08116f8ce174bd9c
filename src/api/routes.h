#pragma once
// The one table of calls. Dispatching, permissions, 405 and the OpenAPI document come from it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "api/handlers.h"
#include "model/identity.h"
#include "model/kind.h"

namespace sluice::api {

enum class Access : std::uint8_t {
  Public,   // no token
  Login,    // no token, but tries are counted
  Metrics,  // no token where the listener is loopback, else as Operate
  Read,     // every role but ingest
  Change,   // developer, admin, operator
  Manage,   // admin, operator
  Records,  // ingest, operator
  Operate,  // operator
};
bool allows(Access access, Role role);

// What the description of a call cannot take from the rest of its row. The names are components of
// openapi.json.
struct RouteDocument {
  std::string_view answer = {};  // "": part of the page /api/docs, not described
  int status = 200;              // of that answer
  std::string_view request = {};
  std::span<const std::string_view> refusals = {};  // that do not follow from the row
  std::span<const std::string_view> headers = {};   // parameters in the header
};

struct Route {
  std::string_view method;
  std::string_view pattern;  // "{id}" and "{replay_id}" stand for one segment each, a number
  Access access;
  // Kind: Ingest's.
  std::variant<Kind, Handlers::Answer (Handlers::*)(Request),
               Handlers::LiveAnswer (Handlers::*)(Request)>
      target;
  std::span<const std::string_view> query;  // the parameters that it knows
  std::string_view summary;
  RouteDocument document = {};

  // Its {id} is a stream's.
  bool about_a_stream() const { return pattern.starts_with("/api/v2/data_stream/{id}"); }
  // Ingest looks at the announced type by itself.
  bool takes_json() const {
    return !document.request.empty() && !std::holds_alternative<Kind>(target);
  }
};
std::span<const Route> routes();

struct RouteMatch {
  const Route* route = nullptr;  // null: no such path, or not with this method
  std::uint64_t id = 0;
  std::uint64_t replay_id = 0;
  std::string allow;  // the path's methods, if the path exists
};
RouteMatch match_route(std::string_view method, std::string_view path);

}  // namespace sluice::api
