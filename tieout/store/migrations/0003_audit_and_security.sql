-- Audit: a leaf hash per row, one root per batch (RFC 6962 prefixes); sealed into a log later.
CREATE TABLE audit_batches (
    batch_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    leaves     integer NOT NULL,
    root       bytea NOT NULL
);
CREATE TABLE audit_leaves (
    batch_id   bigint NOT NULL,
    leaf_no    integer NOT NULL,
    subject    text NOT NULL,
    leaf_hash  bytea NOT NULL,
    PRIMARY KEY (batch_id, leaf_no)
);
CREATE INDEX audit_leaves_by_subject ON audit_leaves (subject);

-- What people did: every command has an actor.
CREATE TABLE actions (
    action_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    verb       text NOT NULL,
    detail     text NOT NULL
);

GRANT USAGE ON SCHEMA public TO tieout_app, tieout_audit;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tieout_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tieout_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO tieout_audit;

-- Nobody edits the past: evidence is only ever added.
REVOKE UPDATE, DELETE ON audit_batches, audit_leaves, actions, proofs, attempts, records,
    landscape_versions, landscape_identity, rates_used, schema_migrations FROM tieout_app;
REVOKE INSERT ON schema_migrations, landscape_identity FROM tieout_app;
REVOKE DELETE ON arrivals, arrival_keys, record_heads, documents, xrefs, dispatches, write_keys,
    cases, tie_outs, breaks FROM tieout_app;

DO $$
DECLARE guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['arrivals', 'records', 'documents', 'dispatches', 'attempts',
                                   'proofs', 'runs', 'cases', 'totals', 'breaks']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY by_legal_entity ON %I USING (tieout_may_see(legal_entity))',
                       guarded);
    END LOOP;
END $$;
