-- Which state of the landscape the holder of a lease works by, so that others can wait for theirs.
ALTER TABLE leases ADD COLUMN landscape_hash text NOT NULL DEFAULT '';
