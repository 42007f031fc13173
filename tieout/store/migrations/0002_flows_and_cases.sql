-- A run is rows, not a coroutine: one run per flow and record.

CREATE TABLE runs (
    run_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow            text NOT NULL,
    record_type     text NOT NULL,
    record_key      text NOT NULL,
    record_version  integer NOT NULL,
    revision        integer NOT NULL DEFAULT 1,
    mode            text NOT NULL CHECK (mode IN ('forward', 'undo')),
    step_no         integer NOT NULL DEFAULT 0,
    state           text NOT NULL CHECK (state IN
                    ('ready', 'waiting', 'held', 'complete', 'undone')),
    waits_for       text NOT NULL DEFAULT '',
    due_at          timestamptz,            -- when a waiting run looks again by itself
    waits_since     timestamptz,
    lane            text NOT NULL,
    legal_entity    text NOT NULL,
    partition_no    smallint NOT NULL,
    landscape_hash  text NOT NULL,
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    UNIQUE (flow, record_key)
);
CREATE INDEX runs_ready ON runs (run_id) WHERE state = 'ready';
CREATE INDEX runs_waiting ON runs (due_at) WHERE state = 'waiting';
CREATE INDEX runs_by_record ON runs (record_key);

-- What a waiting run waits for; removed when it wakes.
CREATE TABLE run_waits (
    run_id   bigint NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('document', 'record')),
    subject  text NOT NULL,                 -- document id, or record type/record key
    PRIMARY KEY (kind, subject, run_id)
);
CREATE INDEX run_waits_by_run ON run_waits (run_id);

CREATE TABLE run_steps (
    run_id         bigint NOT NULL,
    revision       integer NOT NULL,
    mode           text NOT NULL,
    step_no        integer NOT NULL,
    step           text NOT NULL,
    record_version integer NOT NULL,
    state          text NOT NULL,           -- started, done, held
    document_id    bigint,
    started_at     timestamptz NOT NULL,
    done_at        timestamptz,
    PRIMARY KEY (run_id, revision, mode, step_no)
);

CREATE TABLE cases (
    case_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint    text NOT NULL,           -- the same trouble again is the same case
    reason         text NOT NULL,           -- class of trouble: mapping, control, period_closed …
    control        text NOT NULL,
    words          text NOT NULL,
    next_action    text NOT NULL,
    field          text NOT NULL DEFAULT '',
    value          text NOT NULL DEFAULT '',
    place          text NOT NULL DEFAULT '',
    system         text NOT NULL DEFAULT '',
    stream         text NOT NULL DEFAULT '',
    source_key     text NOT NULL DEFAULT '',
    arrival_id     bigint,
    record_type    text NOT NULL DEFAULT '',
    record_key     text NOT NULL DEFAULT '',
    run_id         bigint,
    dispatch_id    bigint,
    amount         numeric,
    currency       text NOT NULL DEFAULT '',
    legal_entity   text NOT NULL DEFAULT '',
    period         text NOT NULL DEFAULT '',
    owner          text NOT NULL,
    state          text NOT NULL CHECK (state IN ('open', 'closed')),
    times          integer NOT NULL DEFAULT 1,
    opened_at      timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    closed_at      timestamptz,
    closed_by      text NOT NULL DEFAULT '',
    closed_because text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX cases_one_open ON cases (fingerprint) WHERE state = 'open';
CREATE INDEX cases_by_source ON cases (source_key);
CREATE INDEX cases_by_record ON cases (record_key);
CREATE INDEX cases_by_run ON cases (run_id);

-- A system told to wait, or one whose door is shut: nothing goes out until then.
CREATE TABLE system_states (
    system        text PRIMARY KEY,
    state         text NOT NULL CHECK (state IN ('open', 'busy', 'down', 'denied')),
    until         timestamptz,
    failures      integer NOT NULL DEFAULT 0,
    words         text NOT NULL DEFAULT '',
    changed_at    timestamptz NOT NULL
);

-- The ERP's own word on its accounting periods, as last read.
CREATE TABLE periods (
    system     text NOT NULL,
    period     text NOT NULL,
    starts_on  date NOT NULL,
    ends_on    date NOT NULL,
    state      text NOT NULL CHECK (state IN ('open', 'soft_closed', 'closed')),
    read_at    timestamptz NOT NULL,
    PRIMARY KEY (system, period)
);

-- Who may work on what: a lease with an epoch. A holder whose session lock is gone is dead.
CREATE TABLE leases (
    name          text PRIMARY KEY,
    holder        uuid,
    epoch         bigint NOT NULL DEFAULT 0,
    expires_at    timestamptz NOT NULL,
    life_key      bigint                    -- advisory lock the holder's own session keeps
);

-- Control totals of each hop, kept in the transaction that moves the rows.
CREATE TABLE totals (
    flow         text NOT NULL,             -- stream for inbound hops, flow for outbound ones
    hop          text NOT NULL,
    bucket       text NOT NULL,
    legal_entity text NOT NULL,
    period       text NOT NULL,
    currency     text NOT NULL,
    count        bigint NOT NULL,
    sum          numeric NOT NULL,
    PRIMARY KEY (flow, hop, bucket, legal_entity, period, currency)
);

-- A tie-out: the result of one reconciliation, with its breaks.
CREATE TABLE tie_outs (
    tie_out_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    made_at      timestamptz NOT NULL,
    made_by      text NOT NULL,
    agrees       boolean NOT NULL,
    explained    boolean NOT NULL,
    difference   numeric NOT NULL,
    result       text NOT NULL,             -- JSON: parameters, sides, groups, as-of times
    landscape_hash text NOT NULL
);
CREATE TABLE breaks (
    tie_out_id   bigint NOT NULL,
    left_side    text NOT NULL,
    right_side   text NOT NULL,
    key          text NOT NULL,
    kind         text NOT NULL,
    legal_entity text NOT NULL,
    period       text NOT NULL,
    currency     text NOT NULL,
    left_amount  numeric,
    right_amount numeric,
    difference   numeric NOT NULL,
    case_id      bigint,
    PRIMARY KEY (tie_out_id, left_side, right_side, key, legal_entity, period, currency)
);

-- Exchange rates that were used: a conversion can be recomputed from here.
CREATE TABLE rates_used (
    rate_id   text PRIMARY KEY,
    source    text NOT NULL,
    rate_type text NOT NULL,
    base      text NOT NULL,
    quote     text NOT NULL,
    rate_date date NOT NULL,
    value     numeric NOT NULL,
    first_used_at timestamptz NOT NULL
);
