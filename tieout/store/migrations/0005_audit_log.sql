-- The sealed audit log: batches in commit order become leaves of one RFC 6962 tree.
-- Transactions commit in another order than they draw numbers in. A batch may be sealed once every
-- transaction that could have an earlier one is over: those below the snapshot's oldest running
-- one. Rows from before this column have none, and are long committed.
ALTER TABLE audit_batches ADD COLUMN written_by xid8;
ALTER TABLE audit_batches ALTER COLUMN written_by SET DEFAULT pg_current_xact_id();
CREATE INDEX audit_batches_by_transaction ON audit_batches (written_by);

CREATE TABLE audit_log_leaves (
    log_index  bigint PRIMARY KEY CHECK (log_index >= 0),
    batch_id   bigint NOT NULL UNIQUE,
    leaf_hash  bytea NOT NULL
);
-- Full subtrees above the leaves, so that an append and a proof read O(log n) rows.
CREATE TABLE audit_log_nodes (
    level      smallint NOT NULL CHECK (level > 0),
    node_index bigint NOT NULL,
    hash       bytea NOT NULL,
    PRIMARY KEY (level, node_index)
);
-- One row per sealing: how large the log was then, and up to which transaction it is complete.
CREATE TABLE audit_seals (
    seal_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size       bigint NOT NULL,
    root       bytea NOT NULL,
    horizon    xid8 NOT NULL,
    sealed_at  timestamptz NOT NULL,
    sealed_by  text NOT NULL
);
-- Our copy of what was signed; the originals are kept outside the database.
CREATE TABLE audit_checkpoints (
    checkpoint_no bigint PRIMARY KEY CHECK (checkpoint_no >= 0),
    size          bigint NOT NULL,
    signed_at     timestamptz NOT NULL,
    note          text NOT NULL
);

GRANT SELECT, INSERT ON audit_log_leaves, audit_log_nodes, audit_seals, audit_checkpoints
    TO tieout_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
GRANT SELECT ON audit_log_leaves, audit_log_nodes, audit_seals, audit_checkpoints TO tieout_audit;
-- The tie-outs that were signed off are evidence as well.
REVOKE UPDATE, DELETE ON tie_outs, breaks FROM tieout_app;
