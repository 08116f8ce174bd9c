#include "simulator/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dispatch/replay_policy.h"
#include "dispatch/whole_batch.h"

namespace sluice::simulator {
namespace {

using dispatch::Command;
using dispatch::Milliseconds;

KindSet choose_kinds(World& world) {
  if (world.one_in(3)) return {Kind::Usage, Kind::Event};
  return {world.one_in(2) ? Kind::Usage : Kind::Event};
}

std::string body_of(const connectors::RecordBatch& batch, std::uint32_t render_revision) {
  std::string body = fmt::format("{}:", render_revision);
  for (const connectors::RecordRun& run : batch.runs) body.append(run.joined()) += ',';
  return body;
}

}  // namespace

Stream::Stream(World& world, std::size_t ledger, std::string name)
    : world_(world), ledger_(ledger), kinds_(choose_kinds(world)), destination_(world) {
  Settings first;
  choose_limits(first);
  first.delivery.initial = Milliseconds(10 + world.below(3000));
  first.delivery.error_after = std::chrono::seconds(world.one_in(3) ? 60 : 86'400);
  if (world.one_in(2)) first.delivery.linger = Milliseconds(world.below(2000));
  if (world.one_in(3)) first.delivery.interval = Milliseconds(world.below(2000));
  if (world.one_in(2)) first.want = {{0, 1, 2}, world.one_in(2)};
  if (world.one_in(4)) first.delivery.rejected_in_a_row = 0;
  if (world.one_in(2)) first.delivery.parallel = static_cast<std::uint32_t>(2 + world.below(7));
  if (world.one_in(6)) first.delivery.halt_on_rejected = true;
  if (world.one_in(5)) first.delivery.max_age = std::chrono::seconds(20 + world.below(200));
  settings_[0] = first;
  row_.organisation = organisation();
  row_.name = std::move(name);
}

void Stream::require(bool holds, std::string_view promise) const {
  if (holds) return;
  throw Violation(
      fmt::format("stream {}: {}{}", id_.value(), promise,
                  sending_.empty() ? "" : " (" + sending_.back().batch->webhook_id + ")"));
}

bool Stream::wanted(const Record& record) const {
  return kinds_.contains(record.kind) && applied().want.passes(record);
}

void Stream::choose_limits(Settings& settings) {
  const std::uint64_t records = 1 + world_.below(world_.one_in(3) ? 5 : 60);
  const std::uint64_t bytes = 100 + world_.below(world_.one_in(3) ? 500 : 20'000);
  settings.limits = {static_cast<std::uint32_t>(records), bytes};
  // What is not held must not go while it is sent.
  if (world_.one_in(3) && !world_.retention) settings.limits.held_bytes_max = world_.below(5000);
}

Want Stream::choose_want() {
  Want want{{}, world_.one_in(2)};
  for (std::uint64_t i = world_.below(4); i > 0; --i) {
    want.endpoints.push_back(static_cast<std::int64_t>(world_.below(6)));
  }
  return want;
}

// What the API may change.
void Stream::change(Settings& settings) {
  switch (world_.below(5)) {
    case 0: settings.want = choose_want(); break;
    case 1: choose_limits(settings); break;
    case 2: settings.delivery.initial = Milliseconds(10 + world_.below(3000)); break;
    case 3: ++(world_.one_in(2) ? settings.target : settings.secret); break;
    case 4:
      settings.delivery.parallel =
          static_cast<std::uint32_t>(world_.one_in(2) ? 1 : 2 + world_.below(7));
      break;
  }
}

// A replay takes its stream's as they are now.
dispatch::StreamMachine::Settings Stream::set_up() {
  if (parent_ != nullptr) {
    const Settings& settings = parent_->settings_.rbegin()->second;
    settings_[settings.revision] = as_replayed(settings);
  }
  dispatch::StreamSetup setup =
      replay_ ? dispatch::set_up(*replay_, row(), &find_simulated, no_context())
              : dispatch::set_up(row(), &find_simulated, no_context());
  require(setup.settings.unusable.empty(), setup.settings.unusable);
  return std::move(setup.settings);
}

Settings Stream::as_replayed(Settings settings) const {
  dispatch::be_patient(settings.delivery);
  if (redrive_) dispatch::hold_all(settings.limits);
  if (redrive_ || !replay_->filters.empty()) settings.want = Want::of(replay_->filters);
  return settings;
}

// ---- A process's life --------------------------------------------------------------------------

void Stream::begin() {
  const std::uint32_t revision = row().settings_revision;
  if (!redrive_) reader_ = world_.log->reader(organisation(), kinds_);
  find_letters();
  const auto parked = world_.parked_states.find(journal_key());
  const bool has_parked = parked != world_.parked_states.end();
  told_end_ = replay_ ? replay_->to : world_.log->end(organisation());
  dispatch::StreamMachine::Options options{
      .stream = id_,
      .organisation = organisation(),
      .settings = set_up(),
      .evaluator = &world_.evaluator,
      .chance = [this] { return static_cast<double>(world_.below(2001)) / 1000 - 1; },
      .wall = [this] { return world_.clock.now(); },
      .pace = [this](SteadyTime at) { return at + Milliseconds(20 * world_.below(3)); },
      .created = row().created};
  if (replay_) options.replay = {replay_->id, replay_->to};
  auto start = replay_ ? dispatch::start_of(*replay_) : dispatch::start_of(row_, told_end_);
  start.entry = dispatch::further(world_.journal->recovered(journal_key()),
                                  has_parked ? std::optional(parked->second.entry) : std::nullopt);
  if (has_parked) start.ahead = parked->second.ahead;
  machine_.emplace(std::move(options), std::move(start));
  heard_revision_ = revision;
  perhaps_deleted_ = perhaps_replayed_ = false;
  const Offset cursor = machine_->cursor();
  require(cursor >= confirmed_, "the cursor went back past a confirmed batch");
  const bool parks = !replay_ && row_.park_to > cursor && !row_.replaced_by;
  require(!parks || machine_->park_to() == row_.park_to, "it forgets what it was to park");
  recovered_ = settled_in_this_life_ = cursor;
  give_up_old();
  const auto former = std::exchange(seen_revision_, revision);
  if (former && former != revision) settings_changed_ = true;
  if (!replay_ || former != revision) expect_anew(cursor);
  take(machine_->begin(now()), cursor);
}

void Stream::end() {
  for (const Sending& sending : sending_) {
    if (world_.one_in(2)) receive(sending);
  }
  sending_.clear();
  heard_.clear();
  kept_.clear();
  if (parking_ && world_.one_in(2)) (void)store_letters().has_value();
  if (redrive_) redrive_->settled.clear();
  if (replay_) replay_->state = catalog::ReplayState::Running;
  parking_.reset();
  closing_ = false;
  unheard_.clear();
  machine_.reset();
  reader_.reset();
  writing_.clear();
  written_.clear();
}

void Stream::stop() {
  if (is_over()) return;
  const Offset cursor = machine_->cursor();
  take(machine_->stop(now()), cursor);
}

bool Stream::wind_up() {
  if (is_over()) return false;
  if (!writing_.empty()) {
    write_journal();
  } else if (!written_.empty()) {
    hear_of_journal();
  } else if (parking_) {
    hear_of_parking(true);
  } else if (redrive_ && !redrive_->settled.empty()) {
    remove_redriven();
  } else {
    return false;
  }
  return true;
}

void Stream::abandon() {
  if (is_over()) return;
  const Offset cursor = machine_->cursor();
  take(machine_->abandon(now()), cursor);
  for (const Sending& sending : std::exchange(sending_, {})) {
    if (world_.one_in(2)) receive(sending);
    judge(*sending.batch, {connectors::RetryLater{"broken off", {}, 0}, 500, false, Fault::Us},
          cursor);
  }
}

void Stream::end_stopped() {
  if (is_over()) return end();
  require(machine_->stopped(), "it does not stop");
  // Where it already stood as it began may lie in the page cache alone.
  if (machine_->cursor() > recovered_) confirmed_ = std::max(confirmed_, machine_->cursor());
  std::set<Offset> settled = std::move(heard_);
  end();
  kept_ = std::move(settled);
}

void Stream::take(dispatch::Actions actions, Offset floor) {
  require(!machine_->wake_at() || *machine_->wake_at() > now(), "it would spin");
  if (std::exchange(seen_revision_, machine_->settings_revision()) != seen_revision_) {
    expect_anew(floor);
  }
  give_up_old();
  if (actions.freeze) writing_.push_back({*actions.freeze, true});
  if (actions.save) writing_.push_back({*actions.save, false});
  if (actions.park) {
    require(!parking_, "it parks twice at a time");
    parking_ = std::move(actions.park);
    for (const Sending& sending : sending_) {
      require(sending.batch != parking_->records, "it parks what is still on its way");
    }
  }
  for (const connectors::RecordBatch* batch : actions.send) {
    auto whole = dispatch::whole_batch(*batch, world_.log->reader(organisation(), kinds_),
                                       machine_->selection());
    require(whole.has_value(), "the log has lost what was counted");
    for (const Sending& other : sending_) {
      require(device_of(other.whole) != device_of(*whole), "two requests of a device at a time");
    }
    std::string body = body_of(*whole, applied().render_revision);
    sending_.push_back({batch, *std::move(whole), std::move(body)});
    require(sending_.size() <= applied().delivery.parallel, "too many attempts at a time");
    check_attempt(sending_.back().whole);
  }
}

// Under other filters: what lies before `floor` was passed over under those before.
void Stream::expect_anew(Offset floor) {
  if (redrive_) return;  // the letters that are marked, whatever the filters
  missing_.clear();
  if (machine_->kept_status() == StreamStatus::Disabled) return;
  const Offset from = std::max(floor, machine_->start());
  for (auto it = ledger().by_offset.lower_bound(from); it != ledger().by_offset.end(); ++it) {
    if (replay_ && it->first >= replay_->to) break;
    const Record& record = ledger().records[it->second];
    if (record.acknowledged && wanted(record) && !is_settled(it->first)) {
      missing_.insert(it->first);
    }
  }
}

void Stream::stored(Offset offset, const Record& record) {
  if (!is_replay() && machine_->kept_status() != StreamStatus::Disabled && wanted(record))
    missing_.insert(offset);
}

// ---- Steps -------------------------------------------------------------------------------------

void Stream::hear_of_end() {
  if (is_replay()) return;
  told_end_ = world_.log->end(organisation());
  if (machine_->is_behind()) return machine_->more_ready(told_end_);
  const Offset cursor = machine_->cursor();
  take(machine_->records_ready(told_end_, now()), cursor);
}

void Stream::read() {
  const auto from = machine_->wants_read();
  if (!from) return;
  const Offset cursor = machine_->cursor();
  const auto read =
      redrive_ ? dispatch::read_marked(*world_.letters, id_, organisation(), *from, replay_->to)
               : reader_->read(*from);
  take(machine_->read_done(read, now()), cursor);
}

void Stream::write_journal() {
  if (writing_.empty()) return;
  const Writing writing = std::move(writing_.front());
  writing_.pop_front();
  world_.journal->append(writing.entry, [this, &writing](Result<void> result) {
    if (result) confirmed_ = std::max(confirmed_, writing.entry.cursor);
    written_.push_back({std::move(result), writing.freeze});
  });
}

void Stream::hear_of_journal() {
  if (written_.empty()) return;
  const Written written = std::move(written_.front());
  written_.pop_front();
  const Offset cursor = machine_->cursor();
  take(written.freeze ? machine_->frozen(written.result, now())
                      : machine_->saved(written.result, now()),
       cursor);
}

void Stream::answer(bool honest) {
  if (sending_.empty()) return;
  using namespace connectors;
  const Sending sending = std::move(sending_[world_.below(sending_.size())]);
  std::erase_if(sending_, [&](const Sending& each) { return each.batch == sending.batch; });
  const RecordBatch& batch = sending.whole;
  const std::vector<Fate> fates = this->fates(batch);
  const auto ignored = [&](std::uint32_t records) {
    return static_cast<std::uint32_t>(
        std::count(fates.begin(), fates.begin() + records, Fate::Ignored));
  };
  SendOutcome outcome{Delivered{}, 200, true};
  outcome.skipped = ignored(batch.records);
  if (outcome.skipped == batch.records) {  // nothing is sent
    const Offset floor = acknowledge(batch, batch.records);
    return judge(*sending.batch, outcome, floor);
  }
  std::uint64_t dice = honest ? 0 : world_.below(13);
  if (destination_.is_down(world_) && !honest) dice = 7 + world_.below(2);
  const bool takes = dice <= 6 || dice == 12;
  const auto bad = std::find_if(fates.begin(), fates.end(), [](Fate fate) {
    return fate == Fate::Refused || fate == Fate::SetAside;
  });
  if (takes && bad != fates.end()) {
    if (*bad == Fate::Refused || !sending.is_held()) return refuse(sending);
    return set_aside(sending, static_cast<std::uint32_t>(bad - fates.begin()));
  }
  if (takes) receive(sending);
  if (dice == 6) {
    outcome = {RetryLater{"answer lost", {}, 0}, 502, false};
    for (std::uint32_t i = 0; i < batch.records; ++i) {
      unheard_.insert(dispatch::offset_of(batch, i));
    }
  }
  if (dice == 7) outcome = {RetryLater{"503", Milliseconds(world_.below(9000)), 0}, 503, true};
  if (dice == 8) outcome = {RetryLater{"no connection", {}, 0}, 502, false};
  if (dice == 9) return refuse(sending);
  if (dice == 10) outcome = {Misconfigured{"401"}, 401, true};
  if (dice == 11) outcome = {Gone{"410"}, 410, true};
  Offset floor = machine_->cursor();
  if (dice <= 5) floor = acknowledge(batch, batch.records);
  if (dice == 12) {
    const auto taken =
        static_cast<std::uint32_t>(sending.is_held() ? world_.below(batch.records) : 0);
    outcome = {RetryLater{"took a part", {}, taken}, 200, true};
    outcome.skipped = ignored(taken);
    floor = std::max(floor, acknowledge(batch, taken));
  }
  judge(*sending.batch, outcome, floor);
}

// All of it, or the first bad record by name.
void Stream::refuse(const Sending& sending) {
  const connectors::RecordBatch& batch = sending.whole;
  connectors::SendOutcome outcome{connectors::Rejected{"no", {}}, 400, true};
  Offset floor = machine_->cursor();
  const std::vector<Fate> fates = this->fates(batch);
  const auto good = std::find_if(fates.begin(), fates.end(), [](Fate fate) {
    return fate == Fate::Refused || fate == Fate::SetAside;
  });
  if (sending.is_held() && world_.one_in(3) && good != fates.end() && *good == Fate::Refused) {
    const auto taken = static_cast<std::uint32_t>(good - fates.begin());
    std::get<connectors::Rejected>(outcome.decision).record = taken;
    outcome.skipped = static_cast<std::uint32_t>(std::count(fates.begin(), good, Fate::Ignored));
    hopeless_.insert(dispatch::offset_of(batch, taken));
    if (taken > 0) floor = std::max(floor, acknowledge(batch, taken));
  } else if (batch.records == 1) {
    hopeless_.insert(batch.first);
  }
  if (world_.one_in(3)) outcome.remote_status = 413;
  judge(*sending.batch, outcome, floor);
}

// Those from `first` on that it would lose; it takes what lies before them.
void Stream::set_aside(const Sending& sending, std::uint32_t first) {
  const connectors::RecordBatch& batch = sending.whole;
  const std::vector<Fate> fates = this->fates(batch);
  std::uint32_t end = first;
  while (end < batch.records && fates[end] == Fate::SetAside) {
    hopeless_.insert(dispatch::offset_of(batch, end++));
  }
  connectors::SendOutcome outcome{connectors::SetAside{"too large", first, end - first}, 422,
                                  false};
  outcome.skipped =
      static_cast<std::uint32_t>(std::count(fates.begin(), fates.begin() + first, Fate::Ignored));
  Offset floor = machine_->cursor();
  if (first > 0) floor = std::max(floor, acknowledge(batch, first));
  judge(*sending.batch, outcome, floor);
}

// Up to somewhere records are given up.
void Stream::skip() {
  if (is_replay() || closing_) return;
  hear_of_end();
  const Offset to{world_.below(told_end_.value() + 1)};
  skip(to, world_.one_in(2));
}

void Stream::skip(Offset to, bool park) {
  const Offset cursor = machine_->cursor();
  auto actions = machine_->skip(to, park, now());
  if (!actions) return;
  if (park) park_to_ = std::max(park_to_, to);
  if (!park && to > cursor) {
    missing_.erase(missing_.begin(), missing_.lower_bound(to));
    was_disabled_ = true;
  }
  take(std::move(*actions), std::max(cursor, machine_->cursor()));
  write_catalog();
}

void Stream::pass_time() {
  if (is_over()) return;
  const Offset cursor = machine_->cursor();
  take(machine_->timer(now()), cursor);
}

void Stream::release() {
  const Offset cursor = machine_->cursor();
  take(machine_->release(now()), cursor);
}

void Stream::command() {
  if (closing_) return;
  if (is_replay()) return command(world_.one_in(2) ? Command::Pause : Command::Resume);
  command(static_cast<Command>(world_.below(world_.one_in(4) ? 4 : 3)));
}

// As the runner does: what was acknowledged came before; the catalog knows before the caller.
void Stream::command(Command command) {
  hear_of_end();
  const Offset cursor = machine_->cursor();
  auto actions = machine_->command(command, now());
  if (!actions) return;
  if (command == Command::Disable) {
    missing_.clear();
    was_disabled_ = true;
  }
  take(std::move(*actions), cursor);
  write_catalog();
}

void Stream::hear_of_change() {
  const catalog::Stream& row = this->row();
  if (row.settings_revision == heard_revision_) return;
  const bool new_destination = row.destination_revision > heard_revision_;
  heard_revision_ = row.settings_revision;
  settings_changed_ = true;
  const Offset cursor = machine_->cursor();
  take(machine_->change(set_up(), new_destination, now()), cursor);
}

// ---- The end -----------------------------------------------------------------------------------

bool Stream::settle_down() {
  if (is_over()) return false;
  if (closing_) {
    reopen();
  } else if (heard_revision_ != row().settings_revision) {
    hear_of_change();
  } else if (machine_->kept_status() == StreamStatus::Error) {
    const auto blocking = hopeless_.lower_bound(machine_->cursor());
    if (applied().delivery.halt_on_rejected && blocking != hopeless_.end()) {
      skip(next(*blocking), true);
    }
    command(Command::Restart);
  } else if (machine_->kept_status() != StreamStatus::Running) {
    command(Command::Resume);
  } else if (!is_replay() && told_end_ != world_.log->end(organisation())) {
    hear_of_end();
  } else if (machine_->wants_read()) {
    read();
  } else if (!writing_.empty()) {
    write_journal();
  } else if (!written_.empty()) {
    hear_of_journal();
  } else if (!sending_.empty()) {
    answer(true);
  } else if (parking_) {
    hear_of_parking(true);
  } else if (redrive_ && !redrive_->settled.empty()) {
    remove_redriven();
  } else if (machine_->wake_at()) {
    if (*machine_->wake_at() > now()) world_.clock.advance_to(*machine_->wake_at());
    pass_time();
  } else if (!replay_ && dispatch::row_state(*machine_, now()) != dispatch::row_state(row_)) {
    write_catalog();
  } else {
    return false;
  }
  return true;
}

void Stream::check_end() {
  require(
      missing_.empty(),
      missing_.empty() ? "" : fmt::format("record {} never arrived", missing_.begin()->value()));
  require(machine_->cursor() == (replay_ ? replay_->to : world_.log->end(organisation())),
          "it stands still before the end");
  require(machine_->finished() == is_replay(), "a replay does not know its end");
  require(machine_->memory_bytes() == 0, "it holds memory for nothing");
  require(replay_ || std::max(recovered_, confirmed_) == machine_->cursor(),
          "the journal does not know where it stands");
  check_letters();
  // A redrive finds no letter again that arrived before a crash.
  if (settings_changed_ || was_disabled_ || redrive_) return;
  require(machine_->parked_count() == parked_.size(), "it counted the dead letters wrong");
  // Offsets that were never a record's may count as aged out too.
  require(machine_->losses().aged_out >= aged_out_.size(), "it counted what aged out wrong");
  if (applied().delivery.max_age || world_.retention) return;
  // What a crash had it send again may have been refused then.
  const auto left = [this](const std::set<Offset>& offsets) {
    return static_cast<std::uint64_t>(
        std::count_if(offsets.begin(), offsets.end(),
                      [this](Offset offset) { return !parked_.contains(offset); }));
  };
  require(machine_->delivered() == left(delivered_), "it counted what is delivered wrong");
  require(machine_->skipped() == left(ignored_), "it counted what is skipped wrong");
}

}  // namespace sluice::simulator
