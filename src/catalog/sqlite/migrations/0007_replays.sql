-- AUTOINCREMENT: a replay's id is part of webhook ids, and never given to another.
-- filters '': the stream's own. total NULL: not known.
CREATE TABLE replays (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  stream_id INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
  of_dead_letters INTEGER NOT NULL,
  state INTEGER NOT NULL,
  error TEXT NOT NULL,
  from_offset INTEGER NOT NULL,
  to_offset INTEGER NOT NULL,
  filters TEXT NOT NULL,
  total INTEGER,
  sent INTEGER NOT NULL,
  parked INTEGER NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX replays_by_stream ON replays (stream_id, id);
-- One at a time a stream.
CREATE UNIQUE INDEX replays_under_way ON replays (stream_id) WHERE state = 1;
