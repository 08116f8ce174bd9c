#pragma once
// What the calls do. One coroutine a call, on the request's I/O thread; SQLite and the log's index
// are asked on the catalog pool.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "api/api.h"
#include "api/organisation_slots.h"
#include "api/query.h"
#include "api/record_calls.h"
#include "api/stream_body.h"
#include "api/stream_change.h"
#include "base/awaitable.h"
#include "base/mutex.h"
#include "http/error_answer.h"

namespace sluice::api {

struct Request {
  Identity identity;     // of a verified token; on public routes nobody's
  std::uint64_t id = 0;  // from the path, on routes that have {id}
  std::uint64_t replay_id = 0;
  Query query;
  std::size_t io_thread = 0;
  http::Body body;
  std::string last_event_id = {};  // the header's value, on calls that answer without end
};

class Handlers {
 public:
  using Answer = Awaitable<http::Response>;
  // An answer without end, or the one that refuses it.
  using LiveAnswer = Awaitable<std::variant<LiveConnection, http::Response>>;

  struct Signing {
    TokenKey key;
    TokenVerifier& verifier;  // outlives the Handlers
  };
  Handlers(const Settings& settings, const Dependencies& dependencies, const Signing& signing);

  Answer health(Request request);
  Answer readiness(Request request);
  Answer metrics(Request request);
  Answer api_document(Request request);
  Answer signing_discovery(Request request);
  Answer signing_keys(Request request);
  Answer docs_page(Request request);
  Answer docs_start(Request request);
  Answer docs_viewer(Request request);
  Answer docs_style(Request request);

  Answer authenticate(Request request);
  Answer list_application_tokens(Request request);
  Answer create_application_token(Request request);
  Answer revoke_application_token(Request request);
  Answer list_organisations(Request request);
  Answer create_organisation(Request request);
  Answer change_organisation(Request request);

  Answer list_streams(Request request);
  Answer create_stream(Request request);
  Answer show_stream(Request request);
  Answer change_stream(Request request);
  Answer restart_stream(Request request);
  Answer delete_stream(Request request);
  Answer list_inspector(Request request);
  Answer list_statuses(Request request);
  Answer list_types(Request request);
  Answer list_connection_types(Request request);
  Answer list_filter_fields(Request request);

  Answer browse_records(Request request);
  Answer preview_filters(Request request);
  LiveAnswer watch_records(Request request);

  // For a call about one stream that the request's role may not make: 404 where the stream does not
  // exist for it, else 403.
  Answer refuse_role(Request request);

  // dead_letter_handlers.cc
  Answer list_dead_letters(Request request);
  Answer delete_dead_letters(Request request);
  Answer skip_records(Request request);

  // restart_handlers.cc
  Answer restart_streams(Request request);

  // replay_handlers.cc
  Answer redrive_dead_letters(Request request);
  Answer start_replay(Request request);
  Answer show_replay(Request request);
  Answer cancel_replay(Request request);

  // attempt_handlers.cc
  Answer list_attempts(Request request);
  Answer show_metrics(Request request);
  Answer test_stream(Request request);

  // quarantine.cc
  Answer list_quarantine(Request request);
  Answer clear_quarantine(Request request);

 private:
  // A value, or the answer that refuses the request.
  template <class T>
  using Or = std::variant<T, http::Response>;

  struct FoundStream {
    catalog::Stream stream;
    catalog::Organisation organisation;
  };

  // The organisation that the request is about; nullopt: an unbound operator named none.
  static Or<std::optional<OrganisationId>> organisation_of(const Request& request);
  static Or<OrganisationId> named_organisation_of(const Request& request);

  Awaitable<Or<OrganisationId>> existing_organisation_of(const Request& request) const;

  // These block. A token's own organisation exists, whether the catalog knows it yet or not.
  Or<catalog::Organisation> find_organisation(OrganisationId id, const Identity& identity) const;
  Or<FoundStream> find_stream(std::optional<OrganisationId> organisation, StreamId id) const;
  Or<catalog::Organisation> make_room(OrganisationId id, const Identity& identity,
                                      const NewStream& draft) const;
  Or<catalog::Stream> store_stream(NewStream draft) const;

  // 409 for a stream that another has replaced.
  static std::optional<http::Response> refuse_closed(const FoundStream& found);

  // What is passed outlives the awaitable.
  Awaitable<Or<FoundStream>> load_stream(const Request& request) const;
  // Of `stream` only ids and delivery settings count.
  Awaitable<Result<void>> check_destination(const ParsedDestination& destination,
                                            const catalog::Stream& stream,
                                            std::size_t io_thread) const;
  // hand_over_handlers.cc: takes over from another stream where the draft says so.
  Awaitable<Or<catalog::Stream>> store_new(NewStream draft) const;
  Awaitable<void> forget_closed(const catalog::Organisation& organisation) const;
  // Nullopt: done.
  Awaitable<std::optional<http::Response>> erase(const FoundStream& found) const;
  // `found` becomes the stream as it is afterwards. Nullopt: done.
  Awaitable<std::optional<http::Response>> apply(const StreamPatch& patch,
                                                 FoundStream& found) const;
  Awaitable<std::optional<http::Response>> store_change(const catalog::StreamChange& change,
                                                        const catalog::Stream& stream) const;
  // Stores it and sets it going.
  Awaitable<Or<catalog::Replay>> begin_replay(const catalog::Stream& stream,
                                              catalog::Replay replay) const;
  Awaitable<Or<catalog::Replay>> load_replay(StreamId stream, ReplayId id) const;
  Awaitable<std::optional<http::Response>> command(StreamId stream,
                                                   std::optional<dispatch::Command> command) const;
  Awaitable<http::Response> show_anew(int status, FoundStream found) const;

  Awaitable<Result<void>> catalog_health();

  nlohmann::ordered_json show(const FoundStream& found) const;
  http::Response stream_response(int status, const FoundStream& found) const;

  const Settings settings_;
  const Dependencies with_;
  const Signing signing_;
  const std::string document_;  // of the API, made once
  // By those who ask whether the server is ready; shared, as a stuck one may outlive this.
  const std::shared_ptr<std::atomic<std::uint32_t>> catalog_looks_ =
      std::make_shared<std::atomic<std::uint32_t>>(0);
  RecordCalls records_;
  OrganisationSlots tests_;  // of streams' destinations
  // Held from the look at what others claim (check_claim()) until a stream is stored, on the
  // catalog's pool.
  mutable Mutex claims_;
};

}  // namespace sluice::api
