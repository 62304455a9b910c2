-- The built-in local forge: issues, labels, comments and commit statuses of repositories that have
-- no other forge. Read and written by `forge::local` alone.
-- Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE local_issues (
    repo       TEXT    NOT NULL,
    number     INTEGER NOT NULL CHECK (number > 0),
    title      TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    author     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repo, number)
) STRICT;

-- A label is the same in upper and lower case, as on GitHub.
CREATE TABLE local_labels (
    id     INTEGER PRIMARY KEY,
    repo   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    name   TEXT    NOT NULL COLLATE NOCASE,
    UNIQUE (repo, number, name),
    FOREIGN KEY (repo, number) REFERENCES local_issues (repo, number)
) STRICT;

-- AUTOINCREMENT: the id of a deleted comment is never given to another one.
CREATE TABLE local_comments (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    repo       TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    author     TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (repo, number) REFERENCES local_issues (repo, number)
) STRICT;
CREATE INDEX local_comments_of_issue ON local_comments (repo, number, id);

-- Statuses are never overwritten: the last one of a commit and context is the one that counts.
CREATE TABLE local_statuses (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    repo        TEXT    NOT NULL,
    commit_id   TEXT    NOT NULL,
    context     TEXT    NOT NULL COLLATE NOCASE,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'success', 'failure', 'error')),
    description TEXT    NOT NULL,
    target_url  TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX local_statuses_of_commit ON local_statuses (repo, commit_id, id);
