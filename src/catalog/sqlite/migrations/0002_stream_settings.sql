-- filter_revision, render_revision: under which a batch was frozen; settings_revision: of the row.
ALTER TABLE streams ADD COLUMN filters TEXT NOT NULL DEFAULT '[]';
ALTER TABLE streams ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE streams ADD COLUMN filter_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN render_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN settings_revision INTEGER NOT NULL DEFAULT 0;
