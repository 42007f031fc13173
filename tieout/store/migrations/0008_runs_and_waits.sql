-- Runs at full strength. What a run waits for stands in its own row when it is one document, which
-- is nearly always; only the rest goes into run_waits. Nothing looks again by itself every few
-- seconds: an event wakes, and due_at is a deadline, a date, or a rare look for safety.
ALTER TABLE runs
    ADD COLUMN waits_document bigint,
    ADD COLUMN waits_many boolean NOT NULL DEFAULT false;   -- there are rows of it in run_waits

ALTER TABLE runs DROP CONSTRAINT runs_state_check;
ALTER TABLE runs ADD CONSTRAINT runs_state_check CHECK (state IN
    ('ready', 'waiting', 'paused', 'held', 'complete', 'undone'));
-- reject: what was written is taken back because a person declined a later step.
ALTER TABLE runs DROP CONSTRAINT runs_mode_check;
ALTER TABLE runs ADD CONSTRAINT runs_mode_check CHECK (mode IN ('forward', 'undo', 'reject'));

-- One index answers "which run of this flow and record" and "which runs of this record".
ALTER TABLE runs ADD CONSTRAINT runs_one_per_flow UNIQUE (record_key, flow);
ALTER TABLE runs DROP CONSTRAINT runs_flow_record_key_key;
DROP INDEX runs_by_record;

-- The queue: one short range per partition and lane, however many rows are ready.
DROP INDEX runs_ready;
CREATE INDEX runs_queue ON runs (partition_no, lane, run_id) WHERE state = 'ready';
DROP INDEX runs_waiting;
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_by_awaited ON runs (waits_document) WHERE waits_document IS NOT NULL;

-- Rows change often and stay narrow: room on the page, and vacuum before the table has doubled.
ALTER TABLE runs SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05,
                      autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE run_steps SET (fillfactor = 90);
ALTER TABLE run_steps ADD COLUMN result text NOT NULL DEFAULT '';  -- what a call answered

ALTER TABLE run_waits DROP CONSTRAINT run_waits_kind_check;
ALTER TABLE run_waits ADD CONSTRAINT run_waits_kind_check
    CHECK (kind IN ('document', 'record', 'event'));

-- Records that some flow waits for by what they refer to: a payment that names its invoice.
CREATE TABLE awaited_records (
    refers_to   text NOT NULL,              -- the key of the record that is referred to
    record_type text NOT NULL,              -- of the one that refers to it
    field       text NOT NULL,
    record_key  text NOT NULL,
    PRIMARY KEY (refers_to, record_type, field, record_key)
);

-- What a person was asked, and said. Bound to the content: a changed record voids it.
CREATE TABLE approvals (
    approval_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id         bigint NOT NULL,
    step           text NOT NULL,
    revision       integer NOT NULL,
    flow           text NOT NULL,
    record_type    text NOT NULL,
    record_key     text NOT NULL,
    record_version integer NOT NULL,
    digest         text NOT NULL,           -- of the record's content, as it was asked about
    source_key     text NOT NULL,
    legal_entity   text NOT NULL,
    currency       text NOT NULL,
    amount         numeric,
    asks           text NOT NULL,           -- the role or person who may say yes
    escalates_to   text NOT NULL DEFAULT '',
    maker          text NOT NULL DEFAULT '',  -- who made the record, where that is known
    because        text NOT NULL DEFAULT '',  -- why it is asked
    state          text NOT NULL CHECK (state IN ('asked', 'approved', 'declined', 'void')),
    asked_at       timestamptz NOT NULL,
    escalated_at   timestamptz,
    decided_at     timestamptz,
    decided_by     text NOT NULL DEFAULT '',
    decided_because text NOT NULL DEFAULT '',
    CONSTRAINT approvals_maker_is_not_checker
        CHECK (state = 'void' OR decided_by = '' OR lower(decided_by) <> lower(maker)),
    CONSTRAINT approvals_decided_by_somebody
        CHECK ((state IN ('approved', 'declined')) = (decided_by <> '' AND state <> 'void'))
);
-- One question stands per run and step, however many workers ask.
CREATE UNIQUE INDEX approvals_one_standing ON approvals (run_id, step) WHERE state <> 'void';
CREATE INDEX approvals_asked ON approvals (approval_id) WHERE state = 'asked';
CREATE INDEX approvals_by_record ON approvals (record_key);

GRANT SELECT, INSERT, UPDATE ON approvals TO tieout_app;
GRANT SELECT, INSERT, DELETE ON awaited_records TO tieout_app;
GRANT SELECT ON approvals, awaited_records TO tieout_audit;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY by_legal_entity ON approvals USING (tieout_may_see(legal_entity));
