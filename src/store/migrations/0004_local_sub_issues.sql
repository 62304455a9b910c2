-- Issues of the built-in forge that are parts of other ones. Read and written by `forge::local` alone.

CREATE TABLE local_parents (
    repo   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    PRIMARY KEY (repo, number),
    FOREIGN KEY (repo, number) REFERENCES local_issues (repo, number),
    FOREIGN KEY (repo, parent) REFERENCES local_issues (repo, number)
) STRICT;
CREATE INDEX local_children_of_issue ON local_parents (repo, parent, number);
