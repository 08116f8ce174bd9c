CREATE TABLE organisations (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

-- AUTOINCREMENT: the id of a deleted stream is never given to another.
CREATE TABLE streams (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation_id INTEGER NOT NULL REFERENCES organisations (id),
  name TEXT NOT NULL,
  type INTEGER NOT NULL,
  destination TEXT NOT NULL,
  delivery TEXT NOT NULL,
  relation_resolution TEXT NOT NULL,
  historic INTEGER NOT NULL CHECK (historic IN (0, 1)),
  status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 4),
  status_before_pause INTEGER NOT NULL CHECK (status_before_pause BETWEEN 1 AND 4),
  last_error TEXT NOT NULL,
  remote_status INTEGER,
  start_offset INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX streams_by_organisation ON streams (organisation_id, id);
