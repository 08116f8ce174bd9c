-- Of a stream that was created in place of another, and of that other.
ALTER TABLE streams ADD COLUMN replaces INTEGER;
ALTER TABLE streams ADD COLUMN handed_cursor INTEGER;
ALTER TABLE streams ADD COLUMN doubt_first INTEGER;
ALTER TABLE streams ADD COLUMN doubt_last INTEGER;
ALTER TABLE streams ADD COLUMN replaced_by INTEGER;
ALTER TABLE streams ADD COLUMN closed_ms INTEGER;
