-- The spine: inbox, log, subjects, and what is to be done.
--
-- Columns named `content`, `event`, `state`, `act`, `run`, `process`, `surface` hold JSON as the
-- domain's types write it; what is looked for has a column of its own. Times are RFC 3339 in UTC
-- with nine digits of fraction, so that they sort as text. `seq` is the order of insertion.

CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    received_at TEXT NOT NULL,
    name TEXT NOT NULL,
    -- NULL: huskies has no use for it; it is kept so that its repetition is recognised.
    content TEXT,
    reason TEXT,
    taken INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX deliveries_pending ON deliveries (seq) WHERE taken = 0 AND content IS NOT NULL;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Counts from 1 in each subject's log.
    line INTEGER NOT NULL,
    -- The subject's version after the event.
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    refusal TEXT,
    UNIQUE (subject, line)
) STRICT;

CREATE TABLE subjects (
    subject TEXT NOT NULL PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    -- Only the ledger belongs to no repository, and only stories have a number.
    repo TEXT,
    number INTEGER,
    version INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX subjects_stories ON subjects (repo, number) WHERE subject_kind = 'story';

CREATE TABLE acts (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    act TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,
    -- JSON: the short names of runs are unique within a repository only.
    id TEXT NOT NULL UNIQUE,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    run TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('requested', 'started', 'ended')),
    process TEXT,
    stop_wanted INTEGER NOT NULL DEFAULT 0,
    CHECK (state <> 'started' OR process IS NOT NULL)
) STRICT;
CREATE INDEX runs_open ON runs (seq) WHERE state <> 'ended';
CREATE INDEX runs_of_subject ON runs (subject, seq);

CREATE TABLE surfaces (
    seq INTEGER PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    surface TEXT NOT NULL,
    version INTEGER NOT NULL,
    -- 0: never written, and then the forge knows no handle.
    written_version INTEGER NOT NULL DEFAULT 0,
    handle TEXT,
    digest TEXT,
    UNIQUE (subject, key)
) STRICT;
CREATE INDEX surfaces_pending ON surfaces (seq) WHERE written_version < version;

CREATE TABLE timers (
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (subject, name)
) STRICT;
CREATE INDEX timers_next ON timers (at);
