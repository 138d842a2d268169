CREATE TABLE keys (
    boot_id BLOB NOT NULL PRIMARY KEY,
    key_id  TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;

-- AUTOINCREMENT: a number is never used again, so a reader that goes on after one misses nothing.
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE,
    boot_id      BLOB    NOT NULL REFERENCES keys (boot_id),
    camera_id    BLOB    NOT NULL,
    epoch        INTEGER NOT NULL,
    capture_time INTEGER NOT NULL, -- microseconds since 1970
    body         BLOB    NOT NULL
) STRICT;
CREATE INDEX events_of_camera ON events (camera_id, capture_time);
CREATE INDEX events_of_boot ON events (boot_id);

CREATE TABLE snapshots (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id BLOB    NOT NULL UNIQUE,
    boot_id  BLOB    NOT NULL REFERENCES keys (boot_id),
    alone    INTEGER NOT NULL DEFAULT 0, -- its event is durable
    jpeg     BLOB    NOT NULL
) STRICT;
CREATE INDEX snapshots_alone ON snapshots (seq) WHERE alone;
CREATE INDEX snapshots_of_boot ON snapshots (boot_id);

CREATE TABLE ledger (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage (
    boot_id      BLOB    NOT NULL,
    camera_id    BLOB    NOT NULL,
    epoch        INTEGER NOT NULL,
    start_time   INTEGER NOT NULL, -- microseconds since 1970
    watched      INTEGER NOT NULL DEFAULT 0, -- microseconds
    frames       INTEGER NOT NULL DEFAULT 0,
    faces_seen   INTEGER NOT NULL DEFAULT 0,
    faces_usable INTEGER NOT NULL DEFAULT 0,
    evicted      INTEGER NOT NULL DEFAULT 0,
    version      INTEGER NOT NULL DEFAULT 1, -- grows with every change
    answered     INTEGER NOT NULL DEFAULT 0, -- the version that the registry has
    PRIMARY KEY (boot_id, camera_id, epoch, start_time)
) STRICT, WITHOUT ROWID;

CREATE TABLE commands (
    seq    INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    result BLOB -- CommandResult, serialised; absent until it ended
) STRICT;
