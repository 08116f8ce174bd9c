#pragma once
// One stream of a simulation, or a replay beside one: its StreamMachine, its row in the catalog,
// its destination, and the ledger of what arrived there. Every method is one step; each checks the
// promises it can break.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dispatch/stream_machine.h"
#include "simulator/destination.h"
#include "simulator/world.h"

namespace sluice::simulator {

class Stream {
 public:
  Stream(World& world, StreamId id, std::size_t ledger);

  // Some of what lies behind `stream`. Null: nothing does.
  static std::unique_ptr<Stream> replay_of(const Stream& stream, ReplayId id);
  // Some of its dead letters, or all. Null: it has none, or the disk fails.
  static std::unique_ptr<Stream> redrive_of(const Stream& stream, ReplayId id);

  OrganisationId organisation() const { return ledger().id; }
  bool is_replay() const { return range_.has_value(); }
  bool is_finished() const { return !redrive_ && machine_->finished(); }
  StreamId id() const { return id_; }

  void begin();  // a process
  void end();    // of it; a request under way may have arrived

  void stored(Offset offset, const Record& record);

  void hear_of_end();
  void read();
  void write_journal();
  void hear_of_journal();
  void answer(bool honest);  // one of the requests under way
  void hear_of_parking(bool honest);
  void remove_redriven();
  // A redrive has ended, and the dead letters show it: nothing is to happen any more.
  bool conclude();
  void skip();
  void pass_time();
  void command();
  void change_settings();
  void hear_of_change();
  void release();
  void write_catalog();
  // Another is to take its place; successor() when it can, or null.
  void close();
  std::unique_ptr<Stream> successor(StreamId id);

  // The next step towards everything having arrived; false: nothing is left to do.
  bool settle_down();
  void check_end();

 private:
  using StreamStatus = catalog::StreamStatus;
  struct Settings {  // what the API may change, under their settings_revision
    Want want;
    connectors::BatchLimits limits;
    dispatch::DeliverySettings delivery;
    std::uint32_t filter_revision = 0;
    std::uint32_t render_revision = 0;
    std::uint32_t destination_revision = 0;
  };
  struct State {  // dispatch's half of the row
    StreamStatus status = StreamStatus::Running;
    StreamStatus before_pause = StreamStatus::Running;
    std::string last_error;
    std::optional<int> remote_status;
    std::uint32_t revision = 1;
    Offset start;
    std::optional<Offset> park_to;
    std::uint32_t applied_revision = 0;
    std::chrono::seconds failing{0};
  };
  struct Writing {
    dispatch::JournalEntry entry;
    bool freeze = false;
  };
  struct Written {
    Result<void> result;
    bool freeze = false;
  };

  struct Range {  // of a replay
    ReplayId id;
    Offset from;
    Offset to;
  };

  struct Redrive {
    std::uint32_t life = 0;       // that began it
    std::vector<Offset> letters;  // marked for it
    std::vector<Offset> settled;  // of these: still to be removed
  };

  StreamId journal_key() const { return range_ ? catalog::replay_key(range_->id) : id_; }
  Ledger& ledger() const { return world_.ledgers[ledger_]; }
  const Settings& applied() const { return settings_.at(machine_->settings_revision()); }
  bool wanted(const Record& record) const;
  SteadyTime now() const { return world_.clock.steady(); }
  dispatch::StreamMachine::Settings machine_settings(std::uint32_t revision) const;
  void choose_limits(Settings& settings);
  void take(dispatch::Actions actions, Offset floor);
  void expect_anew(Offset floor);
  void command(dispatch::Command command);
  void skip(Offset to, bool park);

  void check_attempt(const connectors::RecordBatch& batch);
  void check_order(const connectors::RecordBatch& batch);
  Offset check_record(const connectors::RecordRun& run, std::uint32_t index);
  struct Sending {
    const connectors::RecordBatch* batch;
    connectors::RecordBatch whole;  // with all its records
    std::string body;
    bool is_held() const { return !batch->runs.empty(); }  // else all have one answer
  };
  void receive(const Sending& sending);
  using Fate = Destination::Fate;
  std::vector<Fate> fates(const connectors::RecordBatch& batch) const;
  Offset acknowledge(const connectors::RecordBatch& batch, std::uint32_t records);
  Offset settle(const connectors::RecordBatch& batch, std::uint32_t records);
  void refuse(const Sending& sending);
  void set_aside(const Sending& sending, std::uint32_t first);
  void give_up_old();
  bool is_settled(Offset offset) const;
  bool is_too_old(const Record& record) const;
  std::int64_t device_of(const connectors::RecordBatch& batch) const;
  std::vector<Offset> parking_offsets();
  Result<void> store_letters();
  void note_parked(Offset offset);
  void find_letters();
  void check_letters() const;
  void judge(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
             Offset floor);
  void require(bool holds, std::string_view promise) const;

  World& world_;
  const StreamId id_;
  const std::size_t ledger_;
  KindSet kinds_;
  std::optional<Range> range_;
  std::optional<Redrive> redrive_;  // which is a replay too

  std::map<std::uint32_t, Settings> settings_;  // the catalog's last one, and those before
  State state_;                                 // as the catalog has it

  std::optional<dispatch::StreamMachine> machine_;
  std::unique_ptr<recordlog::Reader> reader_;
  std::uint32_t heard_revision_ = 0;  // of the newest settings the machine was told
  std::uint32_t seen_revision_ = 0;   // that it works under
  Offset told_end_;
  std::deque<Writing> writing_;  // on its way to the journal
  std::deque<Written> written_;  // on its way back
  std::vector<Sending> sending_;
  std::optional<dispatch::Actions::Park> parking_;  // on its way to the dead letters
  Offset settled_in_this_life_;

  Offset recovered_;                 // cursor that this process began with
  Offset confirmed_;                 // cursor of the entries that the journal called durable
  std::set<Offset> missing_;         // acknowledged to the sender, wanted, and still to arrive
  std::set<Offset> delivered_;       // and known to be
  std::set<Offset> parked_;          // stored as dead letters
  std::set<Offset> perhaps_parked_;  // the disk failed meanwhile
  std::optional<dispatch::JournalEntry> parked_state_;  // stored with the dead letters
  std::set<Offset> ignored_;  // settled: the destination makes nothing of them
  std::set<Offset> aged_out_;
  std::set<Offset> hopeless_;  // the destination will have them parked
  Offset park_to_;             // what lies before it was to be parked, by command
  Destination destination_;
  std::map<std::string, std::string> bodies_;  // by webhook-id
  bool closing_ = false;
  std::set<Offset> heard_;    // settled in this life
  std::set<Offset> unheard_;  // arrived in this life, without the stream hearing so
  bool settings_changed_ = false;
  bool was_disabled_ = false;
};

}  // namespace sluice::simulator
