-- The leaves of a transaction are one row: a row and two index entries for each cost more than the
-- rows they stand for. `leaf_hashes` holds 32 bytes for each subject, in their order. Hashes do not
-- compress and names are read in part, so neither is compressed.
ALTER TABLE audit_batches ADD COLUMN subjects text[], ADD COLUMN leaf_hashes bytea;
ALTER TABLE audit_batches ALTER COLUMN subjects SET STORAGE EXTERNAL,
    ALTER COLUMN leaf_hashes SET STORAGE EXTERNAL;

UPDATE audit_batches b SET subjects = l.subjects, leaf_hashes = l.hashes
FROM (SELECT batch_id, array_agg(subject ORDER BY leaf_no) AS subjects,
             string_agg(leaf_hash, ''::bytea ORDER BY leaf_no) AS hashes
      FROM audit_leaves GROUP BY batch_id) l
WHERE l.batch_id = b.batch_id;
UPDATE audit_batches SET subjects = '{}', leaf_hashes = '' WHERE subjects IS NULL;
ALTER TABLE audit_batches ALTER COLUMN subjects SET NOT NULL,
    ALTER COLUMN leaf_hashes SET NOT NULL;

-- A subject is looked for around the time of its row: one entry a transaction, not one a leaf.
CREATE INDEX audit_batches_by_time ON audit_batches (at);

DROP TABLE audit_leaves;
CREATE VIEW audit_leaves AS
    SELECT b.batch_id, (l.nth - 1)::integer AS leaf_no, l.subject,
           substr(b.leaf_hashes, (32 * (l.nth - 1) + 1)::integer, 32) AS leaf_hash
    FROM audit_batches b, unnest(b.subjects) WITH ORDINALITY AS l (subject, nth);
GRANT SELECT ON audit_leaves TO tieout_app, tieout_audit;
