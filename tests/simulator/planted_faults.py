#!/usr/bin/env python3
"""Can the simulator find bugs? Plants one fault after the other in a copy of a source file, links a
simulator with it, and fails unless that finds it within a minute.

    tests/simulator/planted_faults.py build/release [name...]

The build holds a simulator already. Nothing in the work tree or the build is changed.
"""

import dataclasses
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 60


@dataclasses.dataclass
class Fault:
    name: str
    file: str  # below src
    sound: str
    planted: str


FAULTS = [
    Fault("the log is not synced before it answers", "recordlog/local/segment_writer.cc",
          "  if (auto synced = file_->sync_data(); !synced) return synced;\n  end_ += bytes;",
          "  end_ += bytes;"),
    Fault("a new segment's name is not synced", "recordlog/local/segment_writer.cc",
          "  if (result) result = context.fs.sync_directory("
          "context.partition_directory(id.partition));\n", ""),
    Fault("an offset is given out twice", "recordlog/local/partition.cc",
          "    next_offset = plus(next_offset, chunk.header->count);",
          "    next_offset = plus(next_offset, chunk.header->count - 1);"),
    Fault("what was written is shown before it is synced", "recordlog/local/partition.cc",
          "  if (!written) {\n    context_.metrics.failures.add();\n    logging::error(\"a commit",
          "  if (!written) {\n    publish(chunks, bytes);\n    context_.metrics.failures.add();\n"
          "    logging::error(\"a commit"),
    Fault("the journal is not synced", "dispatch/journal.cc",
          "  if (auto synced = file_->sync_data(); !synced) return synced;\n  file_bytes_",
          "  file_bytes_"),
    Fault("a new journal's name is not synced", "dispatch/journal.cc",
          "    return fs_.sync_directory(directory_);\n  }();", "    return {};\n  }();"),
    Fault("a compacted journal forgets the streams at rest", "dispatch/journal.cc",
          "  for (const auto& [stream, entry] : state_) put(buffer, encode(entry, sequence_));\n", ""),
    Fault("boundaries are not frozen", "dispatch/stream_machine.cc",
          "  head_->must_freeze = !head_->full || bounded || freeze_next_;",
          "  head_->must_freeze = false;"),
    Fault("the cursor moves before the answer", "dispatch/stream_machine.cc",
          "  sent_at_ = now;\n", "  sent_at_ = now;\n  cursor_ = next(records.last);\n"),
    Fault("a batch of which a part arrived counts as delivered", "dispatch/stream_outcomes.cc",
          "  if (!delivered) confirm_up_to(arrived(outcome.decision), outcome.skipped, now);",
          "  if (!delivered && arrived(outcome.decision) > 0) {\n"
          "    confirm(outcome.skipped, now);\n    return finish(now);\n  }"),
    Fault("one id stands for two bodies", "dispatch/stream_machine.cc",
          "  drop_head();\n  ++revision_;\n", "  drop_head();\n"),
    Fault("the cursor moves before the dead letter is stored", "dispatch/stream_outcomes.cc",
          "  actions_.park =\n      Actions::Park{",
          "  cursor_ = behind.cursor;\n  actions_.park =\n      Actions::Park{"),
    Fault("the state beside the dead letters is not looked at", "dispatch/journal_entry.cc",
          "  return journal->cursor >= parked->cursor ? journal : parked;", "  return journal;"),
    Fault("filters of yesterday", "dispatch/stream_machine.cc",
          "  selection_ = Selection(options_.stream, settings_.filter, options_.evaluator);\n"
          "  reload_.reset();", "  reload_.reset();"),
    Fault("a restart forgets the settings changed meanwhile", "dispatch/stream_machine.cc",
          "      entry.render_revision != settings_.render_revision) {",
          "      entry.render_revision > settings_.render_revision) {"),
    Fault("a stream that is paused goes on sending", "dispatch/stream_machine.cc",
          "  if (!works()) {\n    release_memory();",
          "  if (!works() && status_ != StreamStatus::Paused) {\n    release_memory();"),
    Fault("a replay does not know its end", "dispatch/stream_machine.cc",
          "  if (part || !options_.replay) return part;", "  return part;"),
    Fault("a replay shares its stream's journal", "dispatch/stream_journal.cc",
          "  entry.stream = options_.replay ? catalog::replay_key(options_.replay->id) "
          ": options_.stream;", "  entry.stream = options_.stream;"),
    Fault("a lost answer is not in doubt", "dispatch/stream_outcomes.cc",
          "  if (delivered || outcome.answered || !unknown) return;",
          "  if (delivered || !outcome.answered || !unknown) return;"),
    Fault("it hands over with an attempt under way", "dispatch/stream_machine.cc",
          "bool StreamMachine::closed() const { return closing_ && idle(); }",
          "bool StreamMachine::closed() const { return closing_; }"),
    Fault("two requests of one device at a time", "dispatch/lanes.cc",
          "connectors::message_key(*part.chunk, i)",
          "connectors::message_key(*part.chunk, i) + std::to_string(index % 2)"),
    Fault("the cursor passes a run of which a part is settled", "dispatch/stream_run.cc",
          "    if (run_->active.empty()) {", "    if (run_->any_delivered && !run_->busy()) {"),
    Fault("a run that is cut anew forgets what is settled", "dispatch/stream_machine.cc",
          "  drop_head();\n  ++revision_;\n", "  drop_head();\n  ahead_ = {};\n  ++revision_;\n"),
    Fault("a dead letter of a run is kept without what is settled", "dispatch/stream_run.cc",
          "    ahead.add(run_->records[lane->records[i]].offset, Settled::Parked);\n",
          "    ahead = {};\n"),
    Fault("a record that is set aside is passed over", "dispatch/stream_outcomes.cc",
          "  park_head(outcome.reason, std::nullopt);\n",
          "  move_cursor(next(head_->records.last));\n  head_.reset();\n"),
    Fault("with a record set aside goes the rest of its request", "dispatch/stream_run.cc",
          "  lane.split(records);\n  lane.not_before = now;\n  lane.phase = Lane::Phase::ToPark;",
          "  lane.phase = Lane::Phase::ToPark;"),
    Fault("what the destination makes nothing of counts as delivered",
          "dispatch/stream_outcomes.cc", "  delivered_ += records - skipped;\n",
          "  delivered_ += records;\n"),
    Fault("a batch is as old as its oldest record", "dispatch/batch.cc",
          "    batch.newest = chunk->stored;\n",
          "    if (!batch.newest) batch.newest = chunk->stored;\n"),
    Fault("more is parked than the command names", "dispatch/stream_journal.cc",
          "  if (parking()) begin_parking();", "  if (false) begin_parking();"),
    Fault("dead letters are not synced", "catalog/sqlite/dead_letters.cc",
          '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = OFF"'),
    Fault("dead letters are kept without where the stream stands", "catalog/sqlite/dead_letters.cc",
          "  if (auto kept = keep_state(state); !kept) return ours(kept.error());\n", ""),
    Fault("a redrive forgets what was marked for it", "catalog/sqlite/dead_letters.cc",
          "  if (auto committed = transaction->commit(); !committed) return ours(committed.error());\n"
          "  return marked;", "  return marked;"),
    Fault("a redrive takes along what was not marked", "catalog/sqlite/dead_letters.cc",
          '"record_offset >= ? AND marked = 1 ORDER', '"record_offset >= ? ORDER'),
    Fault("with a dead letter that arrived go those before it", "catalog/sqlite/dead_letters.cc",
          '"DELETE FROM letter WHERE stream_id = ? AND record_offset = ?"\n',
          '"DELETE FROM letter WHERE stream_id = ? AND record_offset <= ?"\n'),
    Fault("a dead letter goes before it has arrived", "dispatch/replay_policy.cc",
          "    if (offset < machine.cursor()) settled->push_back(offset);\n",
          "    settled->push_back(offset);\n"),
    Fault("a run's requests have a batch's ids", "dispatch/stream_run.cc",
          "  describe(records);\n", "  records.last = head_->records.last;\n  describe(records);\n"),
    Fault("what aged out of the log is given up in silence", "dispatch/stream_machine.cc",
          "  Losses& losses = next_.empty() ? next_.before : next_.inside;\n"
          "  losses.add({result.aged_out, result.damaged});\n",
          "  Losses& losses = next_.empty() ? next_.before : next_.inside;\n"
          "  losses.add({0, result.damaged});\n"),
    Fault("a stop forgets where a stream stands", "dispatch/stream_journal.cc",
          "unsaved_batches_ < kUnsavedBatchesMax && !ending()) return;",
          "unsaved_batches_ < kUnsavedBatchesMax) return;"),
    Fault("a stop forgets what is settled ahead", "dispatch/stream_machine.cc",
          "  if (stopping_ && !head_busy()) keep_ahead();\n", ""),
    Fault("the catalog is not synced", "catalog/sqlite/open_database.cc",
          '"PRAGMA synchronous = FULL;', '"PRAGMA synchronous = OFF;'),
    Fault("what a killed process could not sync is built upon", "catalog/sqlite/open_database.cc",
          "  return database.write_log_again();\n", "  return {};\n"),
    Fault("a hand-over takes two transactions", "catalog/sqlite/catalog.cc",
          "  if (auto closed = close_former(stream, now); !closed) return closed.error();\n",
          "  if (auto closed = close_former(stream, now); !closed) return closed.error();\n"
          '  if (auto half = database_.execute("COMMIT; BEGIN IMMEDIATE"); !half) '
          "return half.error();\n"),
    Fault("settings are answered for before they are stored", "catalog/sqlite/catalog.cc",
          "  if (!changed) return changed;\n  const Result<void> committed = transaction->commit();\n"
          "  if (!committed) return committed.error();\n",
          "  if (!changed) return changed;\n  (void)transaction->commit().has_value();\n"),
    Fault("a stream is deleted although the disk failed", "catalog/sqlite/catalog.cc",
          "  const Result<void> done = query->bind(sql_id(id)).bind(sql_id(organisation)).run();\n"
          "  if (!done) return done.error();\n  if (database_.changes() == 0)",
          "  const Result<void> done = query->bind(sql_id(id)).bind(sql_id(organisation)).run();\n"
          "  if (done && database_.changes() == 0)"),
    Fault("a stream that was replaced goes on", "dispatch/stream_row.cc",
          "row.replaced_by ? catalog::StreamStatus::Paused : row.status", "row.status"),
    Fault("a stream that was replaced goes on parking", "dispatch/stream_row.cc",
          "row.replaced_by ? std::nullopt : row.park_to", "row.park_to"),
    Fault("a restart forgets what is to be parked", "dispatch/stream_row.cc",
          "row.replaced_by ? std::nullopt : row.park_to", "std::nullopt"),
    Fault("dead letters outlive their stream", "catalog/under_way.cc",
          "  if (auto kept = letters.keep_only(keys); !kept) return kept.error();\n", ""),
    Fault("a start forgets where a replay stands", "catalog/under_way.cc",
          "    keys.push_back(replay_key(replay.id));\n", ""),
    Fault("a redrive's range is not stored", "catalog/under_way.cc",
          "  const Result<void> ranged = replays.update(*replay);\n"
          "  if (!ranged) return ranged.error();\n", ""),
    Fault("a replay has ended although the disk failed", "catalog/under_way.cc",
          "  if (auto updated = replays.update(replay); !updated) return updated;\n",
          "  (void)replays.update(replay).has_value();\n"),
]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Build:
    """How the build compiles and links."""

    def __init__(self, directory):
        self.directory = directory
        listed = run(["ninja", "-C", directory, "-t", "commands", "simulator"])
        assert listed.returncode == 0, listed.stderr
        self.commands = listed.stdout.splitlines()

    def compile(self, source, replacement, to):
        """`replacement` in place of the source that the build knows."""
        found = [c for c in self.commands if c.endswith(str(source)) and " -c " in c]
        assert found, f"the build does not compile {source}"
        words = shlex.split(found[0])
        words[words.index("-o") + 1] = str(to)
        words[-1] = str(replacement)
        words.append("-Wno-error")
        for flag in ("-MF", "-MT"):
            words[words.index(flag) + 1] = str(to) + ".d"
        done = run(words, cwd=self.directory)
        assert done.returncode == 0, done.stderr[-3000:]

    def link(self, planted, to):
        """Its definitions come first, so that the archive's are not taken."""
        words = shlex.split([c for c in self.commands if "-o tests/simulator/simulator" in c][-1])
        words = words[words.index("&&") + 1:] if words[0] == ":" else words
        words = words[:words.index("&&")] if "&&" in words else words
        at = words.index("-o")
        words[at + 1] = str(to)
        words.insert(at, str(planted))
        done = run(words, cwd=self.directory)
        assert done.returncode == 0, done.stderr[-3000:]


def plant(fault, build, directory):
    original = ROOT / "src" / fault.file
    text = original.read_text(encoding="utf-8")
    assert text.count(fault.sound) == 1, f"{fault.name}: the source has changed, mend the fault"
    planted = directory / original.name
    planted.write_text(text.replace(fault.sound, fault.planted), encoding="utf-8")
    build.compile(original, planted, directory / "planted.o")
    build.link(directory / "planted.o", directory / "simulator")
    return directory / "simulator"


def main():
    build = Build(sys.argv[1])
    wanted = sys.argv[2:]
    passed = failed = 0
    for fault in FAULTS:
        if wanted and fault.name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            try:
                program = plant(fault, build, pathlib.Path(directory))
                done = run([program, "--seconds", str(SECONDS)], timeout=SECONDS * 3)
                found = done.returncode != 0
                said = (done.stdout + done.stderr).strip().splitlines()[-1:]
            except AssertionError as failure:
                found, said = False, [str(failure)]
            except subprocess.TimeoutExpired:
                found, said = False, ["a run hangs"]
        passed, failed = passed + found, failed + (not found)
        print(f"{'found' if found else 'NOT FOUND'}: {fault.name}: {' '.join(said)}", flush=True)
    print(f"{passed} found, {failed} not found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
