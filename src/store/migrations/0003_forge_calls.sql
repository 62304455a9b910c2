-- How many requests were made to the forge for a subject.
CREATE TABLE forge_calls (
    subject TEXT NOT NULL PRIMARY KEY,
    calls INTEGER NOT NULL
) STRICT;
