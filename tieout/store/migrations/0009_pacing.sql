-- The door to a system learns: how much may leave at a time after trouble (NULL: no bound), what is
-- left of the retry budget (tenths of a retry), and until when somebody is finding out (the probe).
ALTER TABLE system_states
    ADD COLUMN room integer,
    ADD COLUMN credit integer NOT NULL DEFAULT 100,
    ADD COLUMN probe_until timestamptz,
    ADD COLUMN probe_by uuid;

-- What a system takes from all workers together. Unlogged: forgetting it in a crash of the server
-- costs one lesson, and taking a token costs no write to disk.
CREATE UNLOGGED TABLE system_limits (
    system       text PRIMARY KEY,
    at_a_time    integer NOT NULL,          -- calls at a time, learned, at most what is allowed
    changed_at   timestamptz NOT NULL,
    tokens       double precision,          -- calls left; NULL: no rate is known
    per_second   double precision,
    brim         double precision,
    filled_at    timestamptz,
    not_before   timestamptz
);

-- Who may make how many calls at a time now. Ends by itself, and at once when the holder is dead.
CREATE UNLOGGED TABLE call_slots (
    system       text NOT NULL,
    holder       uuid NOT NULL,
    life_key     bigint NOT NULL,           -- advisory lock the holder's own session keeps
    slots        integer NOT NULL,
    wants        integer NOT NULL,
    waits_since  timestamptz,               -- since when it has had none
    until        timestamptz NOT NULL,
    PRIMARY KEY (system, holder)
);

-- A transaction that holds a lease (FOR KEY SHARE) is disturbed by a takeover, which changes the
-- epoch, and not by a heartbeat, which does not: the epoch is part of a key.
CREATE UNIQUE INDEX leases_by_epoch ON leases (name, epoch);

GRANT SELECT, INSERT, UPDATE, DELETE ON system_limits, call_slots TO tieout_app;
GRANT SELECT ON system_limits, call_slots TO tieout_audit;
