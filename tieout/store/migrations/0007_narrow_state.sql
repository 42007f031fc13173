-- Wide evidence and narrow state apart: no change of state writes a payload again.
-- What is never changed (payloads, intents, proofs, attempts) is only ever added to; what changes is
-- narrow. Payloads, proofs and attempts are kept by month, so that old months can be archived.

-- Months of a table that is kept by month: made ahead, by the owner, at every start.
CREATE FUNCTION tieout_make_months(first_day date, months integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    day date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['payloads', 'proofs', 'attempts'] LOOP
        FOR nth IN 0 .. months - 1 LOOP
            day := (date_trunc('month', first_day) + make_interval(months => nth))::date;
            IF to_regclass(format('%I', parent || to_char(day, '_YYYY_MM'))) IS NULL THEN
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        parent || to_char(day, '_YYYY_MM'), parent,
                        to_char(day, 'YYYY-MM-DD"T"00:00:00"+00"'),
                        to_char(day + interval '1 month', 'YYYY-MM-DD"T"00:00:00"+00"'));
                EXCEPTION WHEN check_violation THEN
                    NULL;  -- the default partition holds rows of that month already: they stay
                END;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- --- arrivals: what a system said, verbatim, apart from what became of it ----------------------
CREATE TABLE payloads (
    arrival_id  bigint NOT NULL,
    received_at timestamptz NOT NULL,
    payload     text NOT NULL,              -- verbatim
    key_id      text,                       -- encryption key of personal data, later
    PRIMARY KEY (arrival_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE payloads_other PARTITION OF payloads DEFAULT;
INSERT INTO payloads SELECT arrival_id, received_at, payload, key_id FROM arrivals;

DROP INDEX arrivals_by_record;
DROP INDEX arrivals_new;
ALTER TABLE arrivals DROP COLUMN payload, DROP COLUMN key_id;
ALTER TABLE arrivals SET (fillfactor = 80);
CREATE INDEX arrivals_new ON arrivals (arrival_id) WHERE state = 'new';

-- --- records: the head also says where the record came from --------------------------------------
ALTER TABLE record_heads
    ADD COLUMN system text NOT NULL DEFAULT '',
    ADD COLUMN stream text NOT NULL DEFAULT '',
    ADD COLUMN source_key text NOT NULL DEFAULT '',
    ADD COLUMN linked_at timestamptz NOT NULL DEFAULT '-infinity';
UPDATE record_heads h SET system = r.system, stream = r.stream, source_key = r.source_key,
    linked_at = r.recorded_at
FROM records r
WHERE (r.record_type, r.record_key, r.version) = (h.record_type, h.record_key, h.version);
CREATE INDEX record_heads_by_source ON record_heads (source_key, system, stream);
DROP INDEX records_by_source;

-- The number people know a record by is said by who makes the record: cutting it out of the body
-- here cost more than storing the row.
ALTER TABLE records ALTER COLUMN number DROP EXPRESSION;

-- --- links: the ids of documents in target systems ------------------------------------------------
ALTER TABLE xrefs RENAME TO links;
DELETE FROM links l USING record_heads h
    WHERE (l.system, l.stream, l.external_id) = (h.system, h.stream, h.source_key)
    AND l.number = '';
DROP INDEX xrefs_by_id, xrefs_by_record, xrefs_by_number;
ALTER TABLE links DROP CONSTRAINT xrefs_pkey, ADD PRIMARY KEY (external_id, system, stream);
CREATE INDEX links_by_record ON links (record_key);
CREATE INDEX links_by_number ON links (number) WHERE number <> '';
CREATE VIEW xrefs WITH (security_invoker = true) AS
    SELECT system, stream, external_id, record_type, record_key, number, linked_at FROM links
    UNION ALL
    SELECT system, stream, source_key, record_type, record_key, '', linked_at FROM record_heads h
    WHERE NOT EXISTS (SELECT FROM links l WHERE l.external_id = h.source_key
                      AND l.system = h.system AND l.stream = h.stream);

-- --- documents -------------------------------------------------------------------------------------
ALTER TABLE documents ADD COLUMN landed_dispatch bigint;  -- sent, never proven: it may be there
UPDATE documents c SET landed_dispatch = (
    SELECT x.dispatch_id FROM dispatches x WHERE x.document_id = c.document_id
    AND x.state = 'differs' AND x.revision > c.revision
    ORDER BY x.revision DESC, x.dispatch_id DESC LIMIT 1);
DROP INDEX documents_by_target, documents_by_number, documents_by_record;
ALTER TABLE documents
    DROP CONSTRAINT documents_system_stream_record_type_record_key_part_key,
    DROP CONSTRAINT documents_system_stream_reference_key,
    ADD CONSTRAINT documents_one_of_record UNIQUE (record_key, system, stream, record_type, part),
    ADD CONSTRAINT documents_one_of_reference UNIQUE (reference, system, stream),
    SET (fillfactor = 70);

-- --- dispatches: the intent is never changed; its state is a row of its own -------------------------
CREATE TABLE dispatch_states (
    dispatch_id  bigint PRIMARY KEY,
    document_id  bigint NOT NULL,
    system       text NOT NULL,
    stream       text NOT NULL,
    state        text NOT NULL CHECK (state IN
                 ('planned', 'sending', 'accepted', 'unknown', 'written', 'proved', 'differs',
                  'rejected', 'superseded', 'in_doubt')),
    lane         text NOT NULL,
    partition_no smallint NOT NULL,
    due_at       timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    looks        integer NOT NULL DEFAULT 0,
    handle       text NOT NULL DEFAULT '',
    delivery_id  bigint,
    target_id    text NOT NULL DEFAULT '',
    legal_entity text NOT NULL,
    settled_at   timestamptz
) WITH (fillfactor = 70);
INSERT INTO dispatch_states SELECT dispatch_id, document_id, system, stream, state, lane,
    partition_no, due_at, attempts, looks, handle, delivery_id, target_id, legal_entity, settled_at
    FROM dispatches;
CREATE INDEX dispatch_states_planned ON dispatch_states (system, stream, lane, dispatch_id)
    WHERE state = 'planned';
CREATE INDEX dispatch_states_under_way ON dispatch_states (system, stream, state, dispatch_id)
    WHERE state IN ('sending', 'accepted', 'unknown', 'written', 'in_doubt');
CREATE UNIQUE INDEX dispatch_states_one_open ON dispatch_states (document_id)
    WHERE state IN ('planned', 'sending', 'accepted', 'unknown', 'written', 'in_doubt');

ALTER TABLE dispatches RENAME TO intents;
DROP INDEX dispatches_open, dispatches_by_record, dispatches_by_document, dispatches_one_open,
    dispatches_by_reference;
ALTER TABLE intents
    DROP COLUMN state, DROP COLUMN attempts, DROP COLUMN looks, DROP COLUMN due_at,
    DROP COLUMN handle, DROP COLUMN delivery_id, DROP COLUMN lane, DROP COLUMN partition_no,
    DROP COLUMN settled_at;
ALTER TABLE intents RENAME COLUMN target_id TO aimed_at;  -- the target's id, as known when planned
CREATE INDEX intents_by_document ON intents (document_id);
CREATE INDEX intents_by_reference ON intents (reference);
CREATE VIEW dispatches WITH (security_invoker = true) AS
    SELECT i.*, s.state, s.lane, s.partition_no, s.due_at, s.attempts, s.looks, s.handle,
           s.delivery_id, s.target_id, s.settled_at
    FROM intents i JOIN dispatch_states s USING (dispatch_id);

-- --- evidence of tries and looks, by month ------------------------------------------------------------
CREATE SEQUENCE attempts_id;
ALTER TABLE attempts RENAME TO attempts_before;
CREATE TABLE attempts (
    attempt_id   bigint NOT NULL DEFAULT nextval('attempts_id'),
    dispatch_id  bigint NOT NULL,
    attempt_no   integer NOT NULL,
    kind         text NOT NULL,             -- send, follow, look
    outcome      text NOT NULL,
    code         text NOT NULL DEFAULT '',
    words        text NOT NULL DEFAULT '',
    http_status  integer,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz NOT NULL,
    worker       text NOT NULL,
    legal_entity text NOT NULL
) PARTITION BY RANGE (ended_at);
CREATE TABLE attempts_other PARTITION OF attempts DEFAULT;
INSERT INTO attempts SELECT * FROM attempts_before;
SELECT setval('attempts_id', coalesce((SELECT max(attempt_id) FROM attempts), 0) + 1);
DROP TABLE attempts_before;
CREATE INDEX attempts_by_dispatch ON attempts (dispatch_id);

CREATE SEQUENCE proofs_id;
ALTER TABLE proofs RENAME TO proofs_before;
CREATE TABLE proofs (
    proof_id     bigint NOT NULL DEFAULT nextval('proofs_id'),
    dispatch_id  bigint NOT NULL,
    document_id  bigint NOT NULL,
    verdict      text NOT NULL CHECK (verdict IN ('agrees', 'differs')),
    meant        text NOT NULL,
    found        text NOT NULL,
    differences  text NOT NULL DEFAULT '',
    target_id    text NOT NULL,
    number       text NOT NULL DEFAULT '',
    digest       text NOT NULL,
    read_at      timestamptz NOT NULL,
    legal_entity text NOT NULL
) PARTITION BY RANGE (read_at);
CREATE TABLE proofs_other PARTITION OF proofs DEFAULT;
INSERT INTO proofs SELECT * FROM proofs_before;
SELECT setval('proofs_id', coalesce((SELECT max(proof_id) FROM proofs), 0) + 1);
DROP TABLE proofs_before;
CREATE INDEX proofs_by_id ON proofs (proof_id);
CREATE INDEX proofs_by_dispatch ON proofs (dispatch_id);

-- --- who may do what -----------------------------------------------------------------------------------
GRANT SELECT, INSERT, UPDATE, DELETE ON dispatch_states TO tieout_app;
GRANT SELECT, INSERT ON payloads, attempts, proofs TO tieout_app;
GRANT SELECT ON xrefs, dispatches TO tieout_app;
GRANT SELECT ON payloads, attempts, proofs, dispatch_states, xrefs, dispatches TO tieout_audit;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
-- An intent is evidence; a document never changes hands unseen.
REVOKE UPDATE, DELETE ON intents FROM tieout_app;
REVOKE DELETE ON dispatch_states FROM tieout_app;

DO $$
DECLARE guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['dispatch_states', 'attempts', 'proofs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY by_legal_entity ON %I USING (tieout_may_see(legal_entity))',
                       guarded);
    END LOOP;
    ALTER TABLE payloads ENABLE ROW LEVEL SECURITY;
    ALTER TABLE payloads FORCE ROW LEVEL SECURITY;
    -- Whose row a payload is, is known when its arrival is settled: it is seen with its arrival.
    CREATE POLICY by_arrival ON payloads USING (
        current_setting('tieout.legal_entities', true) = '*'
        OR EXISTS (SELECT FROM arrivals a WHERE a.arrival_id = payloads.arrival_id));
END $$;
