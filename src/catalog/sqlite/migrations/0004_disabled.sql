-- Made anew, because a CHECK cannot be changed: status 5 is Disabled. destination_revision: the
-- settings_revision that brought the destination; applied_revision: the one that status and
-- last_error are about; failing_s: time without success so far.
CREATE TABLE streams_new (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation_id INTEGER NOT NULL REFERENCES organisations (id),
  name TEXT NOT NULL,
  type INTEGER NOT NULL,
  destination TEXT NOT NULL,
  delivery TEXT NOT NULL,
  relation_resolution TEXT NOT NULL,
  historic INTEGER NOT NULL CHECK (historic IN (0, 1)),
  status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 5),
  status_before_pause INTEGER NOT NULL CHECK (status_before_pause BETWEEN 1 AND 4),
  last_error TEXT NOT NULL,
  remote_status INTEGER,
  start_offset INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  filters TEXT NOT NULL DEFAULT '[]',
  labels TEXT NOT NULL DEFAULT '',
  filter_revision INTEGER NOT NULL DEFAULT 0,
  render_revision INTEGER NOT NULL DEFAULT 0,
  settings_revision INTEGER NOT NULL DEFAULT 0,
  destination_revision INTEGER NOT NULL DEFAULT 0,
  applied_revision INTEGER NOT NULL DEFAULT 0,
  failing_s INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO streams_new (id, organisation_id, name, type, destination, delivery,
    relation_resolution, historic, status, status_before_pause, last_error, remote_status,
    start_offset, revision, created_ms, updated_ms, filters, labels, filter_revision,
    render_revision, settings_revision)
  SELECT id, organisation_id, name, type, destination, delivery, relation_resolution, historic,
    status, status_before_pause, last_error, remote_status, start_offset, revision, created_ms,
    updated_ms, filters, labels, filter_revision, render_revision, settings_revision
  FROM streams;

-- The id of a deleted stream stays taken.
DELETE FROM sqlite_sequence WHERE name = 'streams_new';
INSERT INTO sqlite_sequence (name, seq)
  SELECT 'streams_new', seq FROM sqlite_sequence WHERE name = 'streams';
DROP TABLE streams;
ALTER TABLE streams_new RENAME TO streams;
CREATE INDEX streams_by_organisation ON streams (organisation_id, id);
