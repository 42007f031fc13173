-- The record plane: what arrived, what we hold, what we intend, what came of it.
-- Times are set by the program (its clock can be rehearsed), never by now().

CREATE FUNCTION tieout_now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('tieout.now', true), '')::timestamptz, clock_timestamp())
$$;

-- Whether the session may see rows of this legal entity. '' = not attributable: everyone's worry.
CREATE FUNCTION tieout_may_see(legal_entity text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT current_setting('tieout.legal_entities', true) = '*'
        OR legal_entity = ANY (string_to_array(current_setting('tieout.legal_entities', true), ','))
$$;

CREATE TABLE landscape_identity (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name       text NOT NULL,
    claimed_at timestamptz NOT NULL
);

-- Every state of the landscape that ever ran here; records and dispatches name theirs.
CREATE TABLE landscape_versions (
    content_hash text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL,
    first_seen_by text NOT NULL,
    files        text NOT NULL              -- JSON: file -> text, so that any past state can be read
);

CREATE TABLE stream_cursors (
    system     text NOT NULL,
    stream     text NOT NULL,
    cursor     text NOT NULL,
    read_at    timestamptz NOT NULL,
    PRIMARY KEY (system, stream)
);

-- Rows a thin webhook asked us to re-read. Removed in the transaction that stores the arrival.
CREATE TABLE hints (
    system      text NOT NULL,
    stream      text NOT NULL,
    source_key  text NOT NULL,
    asked_at    timestamptz NOT NULL,
    times       integer NOT NULL DEFAULT 1,
    PRIMARY KEY (system, stream, source_key)
);

CREATE TABLE arrivals (
    arrival_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system          text NOT NULL,
    stream          text NOT NULL,
    source_key      text NOT NULL,
    source_version  text NOT NULL,
    digest          text NOT NULL,
    payload         text NOT NULL,          -- verbatim
    key_id          text,                   -- encryption key of personal data, later
    deleted         boolean NOT NULL,
    received_at     timestamptz NOT NULL,
    received_by     text NOT NULL,          -- poll, webhook, file, replay
    state           text NOT NULL CHECK (state IN
                    ('new', 'recorded', 'unchanged', 'superseded', 'out_of_scope', 'held')),
    settled_at      timestamptz,
    record_type     text NOT NULL DEFAULT '',
    record_key      text NOT NULL DEFAULT '',
    record_version  integer,
    legal_entity    text NOT NULL DEFAULT '',
    partition_no    smallint NOT NULL
);
CREATE INDEX arrivals_new ON arrivals (arrival_id) WHERE state = 'new';
CREATE INDEX arrivals_by_source ON arrivals (source_key, system, stream);
CREATE INDEX arrivals_by_record ON arrivals (record_key);

-- Register: one row per thing that ever arrived. A repeat is counted here, not stored twice.
CREATE TABLE arrival_keys (
    system         text NOT NULL,
    stream         text NOT NULL,
    source_key     text NOT NULL,
    source_version text NOT NULL,
    digest         text NOT NULL,
    arrival_id     bigint NOT NULL,
    times          integer NOT NULL DEFAULT 1,
    last_at        timestamptz NOT NULL,
    PRIMARY KEY (system, stream, source_key, source_version, digest)
);

CREATE TABLE records (
    record_type      text NOT NULL,
    record_key       text NOT NULL,
    version          integer NOT NULL,
    body             text NOT NULL,         -- canonical JSON
    digest           text NOT NULL,
    in_scope         boolean NOT NULL,
    system           text NOT NULL,
    stream           text NOT NULL,
    source_key       text NOT NULL,
    source_version   text NOT NULL,
    arrival_id       bigint NOT NULL,
    mapping          text NOT NULL,
    mapping_version  integer NOT NULL,
    landscape_hash   text NOT NULL,
    legal_entity     text NOT NULL,
    currency         text NOT NULL,
    amount           numeric,
    accounting_date  date,
    period           text NOT NULL,
    status           text NOT NULL,
    recorded_at      timestamptz NOT NULL,
    PRIMARY KEY (record_type, record_key, version)
);
CREATE INDEX records_by_source ON records (source_key);

-- Register: the newest version of each record, locked when a new one is made.
CREATE TABLE record_heads (
    record_type    text NOT NULL,
    record_key     text NOT NULL,
    version        integer NOT NULL,
    digest         text NOT NULL,
    in_scope       boolean NOT NULL,
    source_version text NOT NULL,
    arrival_id     bigint NOT NULL,
    PRIMARY KEY (record_type, record_key)
);

-- Register: the desired-state ledger of documents in target systems. One row per document, ever.
CREATE TABLE documents (
    document_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system           text NOT NULL,
    stream           text NOT NULL,
    record_type      text NOT NULL,
    record_key       text NOT NULL,
    part             text NOT NULL DEFAULT '',
    reference        text NOT NULL,         -- our permanent business reference in the target
    generation       integer NOT NULL DEFAULT 1,
    revision         integer NOT NULL DEFAULT 0,
    state            text NOT NULL CHECK (state IN ('absent', 'present', 'voided')),
    target_id        text NOT NULL DEFAULT '',
    number           text NOT NULL DEFAULT '',
    proven_digest    text NOT NULL DEFAULT '',
    proven_dispatch  bigint,
    open_dispatch    bigint,
    refused_intent   text NOT NULL DEFAULT '',  -- action/digest the target refused or changed
    refusal          text NOT NULL DEFAULT '',  -- JSON: reason, words, next action, code, field
    legal_entity     text NOT NULL,
    partition_no     smallint NOT NULL,
    UNIQUE (system, stream, record_type, record_key, part),
    UNIQUE (system, stream, reference)
);
CREATE INDEX documents_by_target ON documents (target_id);
CREATE INDEX documents_by_number ON documents (number) WHERE number <> '';
CREATE INDEX documents_by_record ON documents (record_key);

-- Register: id <-> id. Written when a proof agrees (target) or a record is made (source).
CREATE TABLE xrefs (
    system       text NOT NULL,
    stream       text NOT NULL,
    external_id  text NOT NULL,
    record_type  text NOT NULL,
    record_key   text NOT NULL,
    number       text NOT NULL DEFAULT '',
    linked_at    timestamptz NOT NULL,
    PRIMARY KEY (system, stream, external_id)
);
CREATE INDEX xrefs_by_record ON xrefs (record_key, system, stream);
CREATE INDEX xrefs_by_id ON xrefs (external_id);

CREATE TABLE dispatches (
    dispatch_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    write_key       text NOT NULL,
    document_id     bigint NOT NULL,
    revision        integer NOT NULL,
    generation      integer NOT NULL,
    action          text NOT NULL CHECK (action IN ('create', 'change', 'void', 'delete')),
    system          text NOT NULL,
    stream          text NOT NULL,
    record_type     text NOT NULL,
    record_key      text NOT NULL,
    record_version  integer NOT NULL,
    flow            text NOT NULL,
    reference       text NOT NULL,
    body            text NOT NULL,
    digest          text NOT NULL,
    previous        bigint,                 -- dispatch whose body the target holds now
    state           text NOT NULL CHECK (state IN
                    ('planned', 'sending', 'accepted', 'unknown', 'written', 'proved', 'differs',
                     'rejected', 'superseded', 'in_doubt')),
    attempts        integer NOT NULL DEFAULT 0,
    looks           integer NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL,
    handle          text NOT NULL DEFAULT '',
    delivery_id     bigint,
    target_id       text NOT NULL DEFAULT '',
    lane            text NOT NULL,
    partition_no    smallint NOT NULL,
    legal_entity    text NOT NULL,
    currency        text NOT NULL,
    amount          numeric,
    period          text NOT NULL,
    mapping         text NOT NULL,
    mapping_version integer NOT NULL,
    landscape_hash  text NOT NULL,
    rate_ids        text[] NOT NULL DEFAULT '{}',
    planned_at      timestamptz NOT NULL,
    settled_at      timestamptz
);
CREATE INDEX dispatches_open ON dispatches (due_at)
    WHERE state IN ('planned', 'sending', 'accepted', 'unknown', 'written');
CREATE INDEX dispatches_by_record ON dispatches (record_key);
CREATE INDEX dispatches_by_document ON dispatches (document_id);
CREATE UNIQUE INDEX dispatches_one_open ON dispatches (document_id)
    WHERE state IN ('planned', 'sending', 'accepted', 'unknown', 'written', 'in_doubt');

-- Register: a write key is bound to its digest once an attempt may have landed (DESIGN D8).
CREATE TABLE write_keys (
    write_key   text PRIMARY KEY,
    dispatch_id bigint NOT NULL,
    digest      text NOT NULL,
    bound       boolean NOT NULL DEFAULT false
);

-- One call that carries several dispatches; re-sent with identical bytes.
CREATE TABLE deliveries (
    delivery_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system       text NOT NULL,
    stream       text NOT NULL,
    digest       text NOT NULL,
    size         integer NOT NULL,
    made_at      timestamptz NOT NULL
);

CREATE TABLE attempts (
    attempt_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
);
CREATE INDEX attempts_by_dispatch ON attempts (dispatch_id);

CREATE TABLE proofs (
    proof_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
);
CREATE INDEX proofs_by_dispatch ON proofs (dispatch_id);
