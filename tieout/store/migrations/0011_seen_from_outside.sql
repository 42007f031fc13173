-- Seen from outside: what each worker is doing, how systems answer, what was told to whom.

-- One row per worker process, written by itself about once a second. `moved_at` is when its work
-- last got on, a call counting until its time limit: a worker that hangs lives, but does not move.
CREATE TABLE workers (
    holder           uuid PRIMARY KEY,
    host             text NOT NULL,
    pid              integer NOT NULL,
    life_key         bigint NOT NULL,       -- the advisory lock it keeps as long as it lives
    landscape_hash   text NOT NULL,
    started_at       timestamptz NOT NULL,
    moved_at         timestamptz NOT NULL,
    stopped_at       timestamptz,           -- ended in good order
    ticks            bigint NOT NULL,
    stage            text NOT NULL,
    leases           integer NOT NULL,
    tick_seconds     double precision NOT NULL,
    memory_bytes     bigint NOT NULL
) WITH (fillfactor = 50);

-- How systems answered: a histogram per system and kind of answer. Times are operational, not money.
CREATE TABLE call_times (
    system           text NOT NULL,
    answer           text NOT NULL CHECK (answer IN ('good', 'refused', 'failed', 'none')),
    most_milliseconds integer NOT NULL,     -- upper edge of the bucket; 2147483647: any
    calls            bigint NOT NULL,
    milliseconds     bigint NOT NULL,
    last_at          timestamptz NOT NULL,
    PRIMARY KEY (system, answer, most_milliseconds)
) WITH (fillfactor = 50);

-- What came of attempts, counted as they are made: the attempts themselves are too many to count.
CREATE TABLE outcome_counts (
    system           text NOT NULL,
    flow             text NOT NULL,
    kind             text NOT NULL,         -- send, follow, look
    outcome          text NOT NULL,
    count            bigint NOT NULL,
    PRIMARY KEY (system, flow, kind, outcome)
) WITH (fillfactor = 50);

-- An alert is open once, however many watchdogs see it.
CREATE TABLE alerts (
    alert_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint  text NOT NULL,
    kind         text NOT NULL,             -- slo, worker, queue, cases, errors, audit, system
    urgent       boolean NOT NULL,
    words        text NOT NULL,
    next_action  text NOT NULL,
    owner        text NOT NULL,
    opened_at    timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    closed_at    timestamptz
);
CREATE UNIQUE INDEX alerts_one_open ON alerts (fingerprint) WHERE closed_at IS NULL;
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;

-- How many messages a channel has had in its window: the lock that watchdogs queue for.
CREATE TABLE alert_channels (
    channel           text PRIMARY KEY,
    window_started_at timestamptz NOT NULL,
    sent_in_window    integer NOT NULL,
    digested_at       timestamptz NOT NULL
);

-- Who was told what: that it began, and that it is over.
CREATE TABLE alert_tellings (
    alert_id bigint NOT NULL,
    channel  text NOT NULL,
    told_at  timestamptz NOT NULL,
    over_at  timestamptz,
    PRIMARY KEY (alert_id, channel)
);

-- A message is committed before it leaves; one without an answer is tried again, a few times.
CREATE TABLE alert_messages (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel    text NOT NULL,
    title      text NOT NULL,
    body       text NOT NULL,
    made_at    timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    tries      integer NOT NULL DEFAULT 0,
    sent_at    timestamptz,
    given_up   text NOT NULL DEFAULT ''     -- why nobody tries any more
);
CREATE INDEX alert_messages_due ON alert_messages (due_at) WHERE sent_at IS NULL AND given_up = '';

GRANT SELECT, INSERT, UPDATE, DELETE ON workers, call_times, outcome_counts, alerts, alert_channels,
    alert_tellings, alert_messages TO tieout_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
GRANT SELECT ON workers, call_times, outcome_counts, alerts, alert_channels, alert_tellings,
    alert_messages TO tieout_audit;

-- The oldest unfinished run of a flow, and what is held, without looking at everything that ended.
CREATE INDEX runs_unfinished ON runs (flow, run_id) WHERE ended_at IS NULL;
CREATE INDEX runs_held ON runs (run_id) WHERE state = 'held';
CREATE INDEX arrivals_held ON arrivals (arrival_id) WHERE state = 'held';
