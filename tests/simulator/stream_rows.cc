// A simulated stream's rows in the catalog: what the API and dispatch write there, and what the
// next process finds.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dispatch/replay_policy.h"
#include "simulator/stream.h"

namespace sluice::simulator {
namespace {

constexpr std::uint32_t kAll = 1'000'000;

std::uint32_t type_of(KindSet kinds) {
  if (!kinds.contains(Kind::Event)) return 1;
  return kinds.contains(Kind::Usage) ? 3 : 2;
}

}  // namespace

// ---- The stream --------------------------------------------------------------------------------

bool Stream::create() {
  const Settings& settings = settings_.rbegin()->second;
  settings.put(row_);
  row_.type = type_of(kinds_);
  if (!row_.hand_over && world_.one_in(2)) row_.start = world_.log->end(organisation());
  const auto created = world_.catalog->create_stream(row_, world_.clock.now());
  if (!created) return false;
  id_ = created->id;
  row_ = *created;
  require(settings.is_in(row_), "the catalog keeps other settings than it was given");
  begin();
  return true;
}

void Stream::meet(const catalog::Stream& row) {
  if (id_ == StreamId{}) {  // its creation failed, but for those who come later
    id_ = row.id;
    row_ = row;
  }
  if (row.settings_revision != row_.settings_revision) {
    const auto tried = std::find_if(tried_settings_.begin(), tried_settings_.end(),
                                    [&](const Settings& each) { return each.is_in(row); });
    require(tried != tried_settings_.end(), "it has settings that nobody gave it");
    settings_[tried->revision] = *tried;
  }
  tried_settings_.clear();
  require(settings_.rbegin()->second.is_in(row), "a change of its settings is lost");
  const dispatch::RowState state = dispatch::row_state(row);
  const bool known =
      state == dispatch::row_state(row_) ||
      std::find(tried_states_.begin(), tried_states_.end(), state) != tried_states_.end();
  require(known || row.replaced_by, "what the catalog was told of it is lost");
  tried_states_.clear();
  require(!replaced_by_ || row.replaced_by == replaced_by_, "one that was replaced is open again");
  replaced_by_ = row.replaced_by;
  row_ = row;
}

void Stream::write_catalog() {
  if (is_replay()) return;
  const dispatch::RowState state = dispatch::row_state(*machine_, now());
  if (state == dispatch::row_state(row_) && tried_states_.empty()) return;
  catalog::Stream row;
  row.id = id_;
  row.organisation = organisation();
  dispatch::put(state, row);
  if (!world_.catalog->update_stream(row, world_.clock.now())) {
    tried_states_.push_back(state);
    return;
  }
  tried_states_.clear();
  dispatch::put(state, row_);
}

void Stream::change_settings() {
  if (is_replay()) return;
  const Settings& before = settings_.rbegin()->second;
  Settings settings = before;
  change(settings);
  settings.number_behind(before);
  settings_changed_ = true;
  const auto changed = world_.catalog->change_stream(
      organisation(), id_, settings.change_from(before), world_.clock.now());
  if (!changed) {
    tried_settings_.push_back(settings);
    return;
  }
  tried_settings_.clear();
  require(settings.is_in(*changed), "the catalog keeps other settings than it was given");
  require(dispatch::row_state(*changed) == dispatch::row_state(row_),
          "a change of settings changes where it stands");
  row_ = *changed;
  settings_[settings.revision] = settings;
}

bool Stream::erase() {
  if (closing_) return false;
  if (!world_.catalog->delete_stream(organisation(), id_)) {
    perhaps_deleted_ = true;
    return false;
  }
  while (!writing_.empty()) write_journal();
  const bool late = world_.one_in(2);
  if (parking_ && !late) (void)store_letters().has_value();
  forget_in_journal();
  (void)world_.letters->forget(id_).has_value();  // what fails is for the next start
  if (parking_ && late) (void)store_letters().has_value();
  return true;
}

void Stream::forget_in_journal() {
  dispatch::JournalEntry entry;
  entry.stream = journal_key();
  entry.kind = dispatch::JournalEntry::Kind::Removed;
  world_.journal->append(entry, {});
}

// ---- Another takes its place -------------------------------------------------------------------

void Stream::close() {
  if (is_replay() || closing_ || machine_->park_to() ||
      machine_->kept_status() == StreamStatus::Disabled) {
    return;
  }
  closing_ = true;
  const Offset cursor = machine_->cursor();
  take(machine_->close(now()), cursor);
}

void Stream::reopen() {
  closing_ = false;
  const Offset cursor = machine_->cursor();
  take(machine_->reopen(now()), cursor);
}

std::unique_ptr<Stream> Stream::successor(std::string name) {
  if (!closing_ || !machine_->closed()) return nullptr;
  require(sending_.empty() && !parking_, "it hands over what is still on its way");
  const Offset cursor = machine_->cursor();
  require(missing_.empty() || *missing_.begin() >= cursor, "it hands over what it never delivered");
  const auto doubt = machine_->in_doubt();
  for (const std::set<Offset>* arrived : {&unheard_, &heard_}) {
    for (auto it = arrived->lower_bound(cursor); it != arrived->end(); ++it) {
      require(doubt && doubt->first <= *it && *it <= doubt->second,
              "what may have arrived is not in doubt");
    }
  }
  auto next = std::make_unique<Stream>(world_, ledger_, std::move(name));
  next->kinds_ = kinds_;
  next->destination_ = destination_;
  Settings settings = settings_.rbegin()->second;
  settings.revision = settings.filter_revision = settings.render_revision = 0;
  settings.destination_revision = 0;
  next->settings_ = {{0, settings}};
  next->row_.start = cursor;
  next->row_.hand_over = catalog::HandOver{id_, cursor, doubt};
  next->settings_changed_ = settings_changed_;
  return next;
}

// What was on its way to the catalog may come late.
void Stream::replaced(StreamId by) {
  replaced_by_ = by;
  if (world_.one_in(2)) write_catalog();
  auto paused = machine_->command(dispatch::Command::Pause, now());
  if (paused && world_.one_in(2)) write_catalog();
  end();
}

void Stream::check_closed() {
  closing_ = true;  // so that it must not send
  begin();
  hear_of_end();
  read();
  require(!parking_, "it goes on although another has taken its place");
  end();
}

// ---- Replays -----------------------------------------------------------------------------------

Stream::Stream(Stream& parent, const catalog::Replay& row)
    : Stream(parent.world_, parent.ledger_, {}) {
  id_ = parent.id_;
  parent_ = &parent;
  replay_ = row;
  kinds_ = parent.kinds_;
  destination_ = parent.destination_;
  settings_.clear();
  if (!row.of_dead_letters) return;
  const auto marked = world_.letters->marked(id_, row.from, kAll);
  require(marked.has_value(), "its dead letters cannot be read");
  redrive_ = Redrive{.life = world_.life, .letters = {}, .settled = {}};
  for (const catalog::DeadLetter& letter : marked->letters) {
    if (letter.offset < row.to) redrive_->letters.push_back(letter.offset);
  }
  missing_ = {redrive_->letters.begin(), redrive_->letters.end()};
}

std::unique_ptr<Stream> Stream::replay_of(Stream& stream) {
  World& world = stream.world_;
  const std::uint64_t cursor = stream.machine_->cursor().value();
  if (cursor == 0) return nullptr;
  const std::uint64_t from = world.below(cursor);
  catalog::Replay row{.stream = stream.id_,
                      .from = Offset{from},
                      .to = Offset{from + 1 + world.below(cursor - from)}};
  if (world.one_in(3)) row.filters = stream.choose_want().json();
  const auto created = world.replays->create(row, world.clock.now());
  if (!created) {
    stream.perhaps_replayed_ = true;
    return nullptr;
  }
  auto replay = std::make_unique<Stream>(stream, *created);
  replay->begin();
  return replay;
}

std::unique_ptr<Stream> Stream::redrive_of(Stream& stream) {
  World& world = stream.world_;
  const auto page = world.letters->list(stream.id_, Offset{0}, kAll);
  if (!page || page->letters.empty()) return nullptr;
  const bool all = world.one_in(2);
  std::vector<Offset> some;
  for (const catalog::DeadLetter& letter : page->letters) {
    if (all || world.one_in(2)) some.push_back(letter.offset);
  }
  const auto created =
      catalog::create_redrive(*world.replays, *world.letters, stream.id_,
                              all ? std::nullopt : std::optional(some), world.clock.now());
  if (!created) stream.perhaps_replayed_ = true;
  if (!created || created->state != catalog::ReplayState::Running) return nullptr;
  auto redrive = std::make_unique<Stream>(stream, *created);
  redrive->require(redrive->redrive_->letters == some && created->total == some.size(),
                   "others were marked");
  redrive->begin();
  return redrive;
}

void Stream::meet(const catalog::Replay& row) {
  require(row.from == replay_->from && row.to == replay_->to && row.filters == replay_->filters &&
              row.of_dead_letters == replay_->of_dead_letters,
          "a replay is another by now");
  perhaps_ended_ = false;
}

// Nothing happens any more but that the catalog is told.
void Stream::end_as(catalog::ReplayState state) {
  if (!is_replay() || is_over()) return;
  replay_->state = state;
  for (const Sending& sending : sending_) {
    if (world_.one_in(2)) receive(sending);
  }
  sending_.clear();
  while (!writing_.empty()) write_journal();
  parking_.reset();
}

bool Stream::conclude() {
  if (!is_replay()) return false;
  if (parent_->machine_->kept_status() == StreamStatus::Disabled) {
    end_as(catalog::ReplayState::Cancelled);
  }
  if (!is_over()) {
    if (!machine_->finished() || (redrive_ && !redrive_->settled.empty())) return false;
    check_end();
    end_as(catalog::ReplayState::Done);
  }
  std::vector<Offset> settled;
  if (redrive_) settled = note_settled();
  if (!catalog::end_replay(*world_.replays, *world_.letters, *replay_, settled)) {
    perhaps_ended_ = true;
    return false;
  }
  forget_in_journal();
  if (redrive_) check_redriven();
  return true;
}

}  // namespace sluice::simulator
