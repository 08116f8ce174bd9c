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
#include "dispatch/stream_row.h"
#include "simulator/destination.h"
#include "simulator/settings.h"
#include "simulator/world.h"

namespace sluice::simulator {

class Stream {
 public:
  // Nobody has created it yet.
  Stream(World& world, std::size_t ledger, std::string name);
  // A replay of `parent`, which outlives it; still to begin.
  Stream(Stream& parent, const catalog::Replay& row);

  // Some of what lies behind `stream`. Null: nothing does, or the disk fails.
  static std::unique_ptr<Stream> replay_of(Stream& stream);
  // Some of its dead letters, or all. Null: it has none, or the disk fails.
  static std::unique_ptr<Stream> redrive_of(Stream& stream);

  OrganisationId organisation() const { return ledger().id; }
  bool is_replay() const { return replay_.has_value(); }
  StreamId id() const { return id_; }
  ReplayId replay_id() const { return replay_->id; }
  const std::string& name() const { return row_.name; }

  // ---- The catalog -----------------------------------------------------------------------------

  // It begins, unless the disk fails: then the next process may find it.
  bool create();
  // As a process that starts finds it.
  void meet(const catalog::Stream& row);
  void meet(const catalog::Replay& row);
  void change_settings();
  void write_catalog();
  // False: it goes on, as far as is known.
  bool erase();
  void forget_in_journal();
  // The disk failed at it in this life.
  bool perhaps_deleted() const { return perhaps_deleted_; }
  bool perhaps_replayed() const { return perhaps_replayed_; }
  bool perhaps_ended() const { return perhaps_ended_; }
  // Another is to take its place; successor() when it can, or null; then replaced() or reopen().
  void close();
  std::unique_ptr<Stream> successor(std::string name);
  void replaced(StreamId by);
  void reopen();
  std::optional<StreamId> replaced_by() const { return replaced_by_; }
  // Begins, does nothing, and ends.
  void check_closed();
  // A replay, by command.
  void cancel() { end_as(catalog::ReplayState::Cancelled); }
  bool is_over() const { return replay_ && replay_->state != catalog::ReplayState::Running; }
  // A replay has ended, and the catalog knows: nothing is to happen any more.
  bool conclude();

  // ---- A process -------------------------------------------------------------------------------

  void begin();
  void end();  // a request under way may have arrived
  // By SIGTERM: nothing new begins; what is still under way at last is abandoned.
  void stop();
  // The next step of what has to end before the process does; false: nothing is left.
  bool wind_up();
  void abandon();
  // In place of end(), where no disk failed meanwhile: what is settled stays so.
  void end_stopped();

  void stored(Offset offset, const Record& record);

  void hear_of_end();
  void read();
  void write_journal();
  void hear_of_journal();
  void answer(bool honest);  // one of the requests under way
  void hear_of_parking(bool honest);
  void remove_redriven();
  void skip();
  void pass_time();
  void command();
  void hear_of_change();
  void release();

  // The next step towards everything having arrived; false: nothing is left to do.
  bool settle_down();
  void check_end();

 private:
  using StreamStatus = catalog::StreamStatus;
  struct Writing {
    dispatch::JournalEntry entry;
    bool freeze = false;
  };
  struct Written {
    Result<void> result;
    bool freeze = false;
  };

  struct Redrive {
    std::uint32_t life = 0;       // that began it
    std::vector<Offset> letters;  // marked for it
    std::vector<Offset> settled;  // of these: still to be removed
  };

  StreamId journal_key() const { return replay_ ? catalog::replay_key(replay_->id) : id_; }
  Ledger& ledger() const { return world_.ledgers[ledger_]; }
  const Settings& applied() const { return settings_.at(machine_->settings_revision()); }
  bool wanted(const Record& record) const;
  SteadyTime now() const { return world_.clock.steady(); }
  const catalog::Stream& row() const { return parent_ != nullptr ? parent_->row_ : row_; }
  dispatch::StreamMachine::Settings set_up();
  Settings as_replayed(Settings settings) const;
  Want choose_want();
  void choose_limits(Settings& settings);
  void change(Settings& settings);
  void end_as(catalog::ReplayState state);
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
  std::vector<Offset> note_settled();
  void check_redriven() const;
  void find_letters();
  void check_letters() const;
  void judge(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
             Offset floor);
  void require(bool holds, std::string_view promise) const;

  World& world_;
  StreamId id_;  // 0: it has none yet
  const std::size_t ledger_;
  KindSet kinds_;
  Stream* parent_ = nullptr;               // whose replay it is
  std::optional<catalog::Replay> replay_;  // its row
  std::optional<Redrive> redrive_;         // which is a replay too

  catalog::Stream row_;                         // as the catalog called it stored; not of a replay
  std::map<std::uint32_t, Settings> settings_;  // the catalog's last one, and those before
  // What the catalog was to store and may have.
  std::vector<Settings> tried_settings_;
  std::vector<dispatch::RowState> tried_states_;
  bool perhaps_deleted_ = false;
  bool perhaps_replayed_ = false;
  bool perhaps_ended_ = false;
  std::optional<StreamId> replaced_by_;

  std::optional<dispatch::StreamMachine> machine_;
  std::unique_ptr<recordlog::Reader> reader_;
  std::uint32_t heard_revision_ = 0;            // of the newest settings the machine was told
  std::optional<std::uint32_t> seen_revision_;  // that it works under
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
  std::set<Offset> kept_;     // in the one before, which was stopped
  std::set<Offset> unheard_;  // arrived in this life, without the stream hearing so
  bool settings_changed_ = false;
  bool was_disabled_ = false;
};

}  // namespace sluice::simulator
