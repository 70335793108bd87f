-- The history as its first version made it, with two builds. Never edited: see the migrations.
CREATE TABLE facts (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next_number INTEGER NOT NULL DEFAULT 1,
    disabled INTEGER NOT NULL DEFAULT 0,
    leaving INTEGER NOT NULL DEFAULT 0,
    polled_at INTEGER,
    poll_log TEXT
);
CREATE TABLE folders (name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
CREATE TABLE builds (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    request INTEGER NOT NULL,
    causes TEXT NOT NULL,
    parameters TEXT NOT NULL,
    executor INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    result INTEGER,
    display_name TEXT,
    description TEXT NOT NULL DEFAULT '',
    keep INTEGER NOT NULL DEFAULT 0,
    revision TEXT,
    branch TEXT,
    passed INTEGER,
    failed INTEGER,
    skipped INTEGER,
    notified TEXT NOT NULL DEFAULT '[]',
    told INTEGER NOT NULL DEFAULT 1,
    artifacts INTEGER NOT NULL DEFAULT 1,
    UNIQUE (job, number)
);
CREATE INDEX builds_by_result ON builds (job, result, number);
CREATE INDEX builds_by_request ON builds (request);
CREATE INDEX builds_with_tests ON builds (job, number) WHERE passed IS NOT NULL;
CREATE INDEX builds_untold ON builds (id) WHERE told = 0;
CREATE INDEX builds_running ON builds (id) WHERE result IS NULL;
CREATE TABLE outcomes (
    build INTEGER PRIMARY KEY REFERENCES builds(id) ON DELETE CASCADE,
    outcome TEXT NOT NULL
);
CREATE TABLE revisions (
    job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    revision TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (job, revision)
) WITHOUT ROWID;
CREATE TABLE started (
    job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    by_job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    by_number INTEGER NOT NULL,
    PRIMARY KEY (by_job, by_number, job, number)
) WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item TEXT NOT NULL
);
CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    build INTEGER NOT NULL REFERENCES builds(id) ON DELETE CASCADE,
    delivery TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL
);
CREATE INDEX notices_of_build ON notices (build);
CREATE INDEX notices_by_due ON notices (due);
CREATE TABLE views (
    name TEXT PRIMARY KEY NOT NULL,
    config BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    forge TEXT NOT NULL,
    delivery TEXT NOT NULL,
    UNIQUE (forge, delivery)
);
PRAGMA user_version = 1;
INSERT INTO jobs (id, name, next_number) VALUES (1, 'a', 3);
INSERT INTO builds (job, number, request, causes, parameters, executor, workspace, started_at, ended_at, result)
VALUES (1, 1, 1, '[{"kind":"timer"}]', '[]', 0, '/w/a', 1000, 2500, 0),
       (1, 2, 2, '[]', '[]', 0, '/w/a', 3000, 4000, 2);
