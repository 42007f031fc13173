-- What was read is compared with what is there: sweeps find rows that a cursor passed by, compares
-- read a whole stream again when a feed has forgotten where we stood.

CREATE TABLE sweeps (
    system      text NOT NULL,
    stream      text NOT NULL,
    due_at      timestamptz NOT NULL,
    since       timestamptz,                -- of the sweep under way; NULL between two
    after       text NOT NULL DEFAULT '',   -- how far it has come
    seen        bigint NOT NULL DEFAULT 0,  -- rows the source named in the sweep under way, or the last
    missing     bigint NOT NULL DEFAULT 0,  -- of these, not arrived: hinted
    ended_at    timestamptz,
    PRIMARY KEY (system, stream)
);

CREATE TABLE compares (
    compare_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system      text NOT NULL,
    stream      text NOT NULL,
    why         text NOT NULL,
    started_at  timestamptz NOT NULL,
    cursor      text NOT NULL DEFAULT '',   -- how far it has come; not yet the stream's own
    seen        bigint NOT NULL DEFAULT 0,
    gone        bigint NOT NULL DEFAULT 0,
    ended_at    timestamptz
);
CREATE UNIQUE INDEX compares_under_way ON compares (system, stream) WHERE ended_at IS NULL;

-- The rows that a compare under way has seen; emptied in the transaction that ends it.
CREATE TABLE compare_keys (
    compare_id  bigint NOT NULL,
    source_key  text NOT NULL,
    PRIMARY KEY (compare_id, source_key)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON sweeps, compares, compare_keys TO tieout_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
GRANT SELECT ON sweeps, compares, compare_keys TO tieout_audit;
