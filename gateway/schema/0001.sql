-- Version 1. The times are epoch milliseconds; what is compressed says so.

-- Devices whose state is kept. Their numbers are never used twice.
CREATE TABLE devices (
    number INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    device TEXT NOT NULL,
    snapshot BLOB,               -- deflated; NULL before the first one
    upto INTEGER NOT NULL,       -- the last reading that the snapshot covers
    UNIQUE (site, device)
) STRICT;

-- Readings in the order in which they were taken: appended at one end, cut off at the other.
CREATE TABLE readings (
    place INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,     -- the device's; a device that was forgotten leaves its readings behind
    message BLOB NOT NULL,       -- topic, NUL, payload; deflated with the dictionary in meta
    bytes INTEGER NOT NULL,      -- of the payload
    time_ms INTEGER NOT NULL,    -- arrival
    fresh_id BLOB NOT NULL,
    duplicate INTEGER NOT NULL,
    again INTEGER NOT NULL       -- 1: the reading of the row before, which moved another device too
) STRICT;

-- Publications that the broker has not taken yet, and those that it never will.
CREATE TABLE owed (
    id INTEGER PRIMARY KEY,
    state TEXT,                  -- the topic of a retained message, of which one row is owed at most
    message BLOB NOT NULL,       -- topic, NUL, payload; deflated with the dictionary in meta
    kind TEXT NOT NULL,
    historical INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    aside TEXT                   -- why the row is set aside; NULL while it is owed
) STRICT;
CREATE INDEX owed_states ON owed (state) WHERE state IS NOT NULL;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
