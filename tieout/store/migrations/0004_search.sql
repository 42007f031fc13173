-- Any id of any system finds its record: the ids that had no index of their own.
-- The canonical body is text; the number or code people know is cut out of it by a pattern that
-- can never fail (a cast to json would refuse a body with an escaped NUL, and with it the batch).
-- It is a column, since row-level security keeps PostgreSQL from using an index over a pattern.
ALTER TABLE records ADD COLUMN number text GENERATED ALWAYS AS (
    coalesce(substring(body FROM '"number":"([^"\\]{1,80})"'),
             substring(body FROM '"code":"([^"\\]{1,80})"'))) STORED;
CREATE INDEX records_by_number ON records (number) WHERE number IS NOT NULL;
CREATE INDEX dispatches_by_reference ON dispatches (reference);
CREATE INDEX xrefs_by_number ON xrefs (number) WHERE number <> '';
CREATE INDEX cases_open ON cases (reason, control) WHERE state = 'open';
CREATE INDEX breaks_by_case ON breaks (case_id) WHERE case_id IS NOT NULL;
