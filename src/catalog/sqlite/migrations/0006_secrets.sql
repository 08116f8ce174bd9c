-- The server's own, sealed. Streams' destinations are sealed from here on too: open_secrets() sees to it.
CREATE TABLE secrets (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
