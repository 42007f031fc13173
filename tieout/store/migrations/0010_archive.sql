-- Old months of evidence, kept in files outside the database: which, where, and who put them there.
CREATE TABLE archived_months (
    manifest_no     integer PRIMARY KEY CHECK (manifest_no > 0),
    table_name      text NOT NULL CHECK (table_name IN ('payloads', 'proofs', 'attempts')),
    month           date NOT NULL CHECK (extract(day FROM month) = 1),
    part            integer NOT NULL CHECK (part > 0),  -- rows that came later are a further part
    folder          text NOT NULL,
    file            text NOT NULL,
    rows            bigint NOT NULL CHECK (rows > 0),
    sha256          text NOT NULL,
    manifest_sha256 text NOT NULL,
    first_id        bigint NOT NULL,        -- of the table's own numbers
    last_id         bigint NOT NULL,
    first_key       bigint NOT NULL,        -- of what its rows are found by: arrival, dispatch
    last_key        bigint NOT NULL,
    archived_at     timestamptz NOT NULL,
    archived_by     text NOT NULL,
    expired_at      timestamptz,            -- the file was removed, after the years it is kept
    expired_by      text NOT NULL DEFAULT '',
    UNIQUE (table_name, month, part)
);
CREATE INDEX archived_months_by_key ON archived_months (table_name, first_key, last_key);

-- What must not be removed, whatever its age; who said so, and who let go of it.
CREATE TABLE legal_holds (
    hold_id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    legal_entity     text NOT NULL DEFAULT '',
    record_key       text NOT NULL DEFAULT '',
    period           text NOT NULL DEFAULT '',
    because          text NOT NULL CHECK (because <> ''),
    placed_at        timestamptz NOT NULL,
    placed_by        text NOT NULL,
    released_at      timestamptz,
    released_by      text NOT NULL DEFAULT '',
    released_because text NOT NULL DEFAULT '',
    CHECK (legal_entity <> '' OR record_key <> '' OR period <> ''),
    -- Two people: who placed a hold does not release it.
    CHECK (released_at IS NULL OR (released_by NOT IN ('', placed_by) AND released_because <> ''))
);

GRANT SELECT, INSERT ON archived_months, legal_holds TO tieout_app;
GRANT UPDATE (folder, expired_at, expired_by) ON archived_months TO tieout_app;
GRANT UPDATE (released_at, released_by, released_because) ON legal_holds TO tieout_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
GRANT SELECT ON archived_months, legal_holds TO tieout_audit;
