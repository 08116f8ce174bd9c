ALTER TABLE organisations ADD COLUMN company_id TEXT NOT NULL DEFAULT '';
-- '' stands for the organisation's id.
ALTER TABLE organisations ADD COLUMN project TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX organisations_by_company_id ON organisations (company_id) WHERE company_id <> '';
CREATE UNIQUE INDEX organisations_by_project ON organisations (project) WHERE project <> '';

-- AUTOINCREMENT: the id of a revoked token is never given to another. secret: sealed.
CREATE TABLE application_tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  organisation_id INTEGER NOT NULL REFERENCES organisations (id),
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  key_id TEXT NOT NULL UNIQUE,
  secret TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX application_tokens_by_organisation ON application_tokens (organisation_id, id);
