"""P7: nothing fails silently."""

from __future__ import annotations

from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.scene import Broken, Scene

_OWNED = "WITH owned AS (SELECT * FROM cases WHERE state = 'open' AND owner <> '')"
_ALWAYS = """
SELECT 'an arrival is held, and is in nobody''s case',
    a.system || '.' || a.stream || ' ' || a.source_key
FROM arrivals a WHERE a.state = 'held' AND NOT EXISTS (SELECT FROM owned c
    WHERE c.system = a.system AND c.stream = a.stream AND c.source_key = a.source_key)
UNION ALL
SELECT 'a run is held, and is in nobody''s case', r.flow || ' ' || r.record_key
FROM runs r WHERE r.state = 'held'
    AND NOT EXISTS (SELECT FROM owned c WHERE c.run_id = r.run_id)
UNION ALL
SELECT 'a write is in doubt, and is in nobody''s case', i.system || ' ' || i.reference
FROM dispatch_states s JOIN intents i USING (dispatch_id) WHERE s.state = 'in_doubt'
    AND NOT EXISTS (SELECT FROM owned c WHERE c.dispatch_id = s.dispatch_id)
UNION ALL
SELECT 'a write counts as refused, and its target never said no', i.system || ' ' || i.reference
FROM dispatch_states s JOIN intents i USING (dispatch_id) WHERE s.state = 'rejected'
    AND NOT EXISTS (SELECT FROM attempts t
    WHERE t.dispatch_id = s.dispatch_id AND t.outcome = 'Rejected')
UNION ALL
SELECT 'a write counts as proven, and no proof agrees', i.system || ' ' || i.reference
FROM dispatch_states s JOIN intents i USING (dispatch_id) WHERE s.state = 'proved'
    AND NOT EXISTS (SELECT FROM proofs p
    WHERE p.dispatch_id = s.dispatch_id AND p.verdict = 'agrees')
UNION ALL
SELECT 'a run fails of something that nobody foresaw', r.flow || ' ' || r.record_key
FROM runs r JOIN cases c USING (run_id) WHERE c.state = 'open' AND c.reason = 'flow'
    AND starts_with(c.words, 'this run cannot go on: ')
"""
_AT_REST = """
SELECT 'an arrival was never worked on', system || '.' || stream || ' ' || source_key
FROM arrivals WHERE state = 'new'
UNION ALL
SELECT 'a row was to be read again, and never was', system || '.' || stream || ' ' || source_key
FROM hints
UNION ALL
SELECT 'an arrival is settled, and nothing is recorded of it',
    a.system || '.' || a.stream || ' ' || a.source_key
FROM arrivals a WHERE (a.state = 'recorded' OR a.state = 'unchanged' AND NOT a.deleted)
    AND NOT EXISTS (SELECT FROM records r
    WHERE r.record_type = a.record_type AND r.record_key = a.record_key
    AND r.version = a.record_version)
UNION ALL
SELECT 'a record is in scope, and no flow runs for it',
    h.system || '.' || h.stream || ' ' || h.source_key
FROM record_heads h WHERE h.in_scope AND h.system || '.' || h.stream = ANY (%(starts)s)
    AND NOT EXISTS (SELECT FROM runs r WHERE r.record_key = h.record_key)
UNION ALL
SELECT 'a run waits, and nothing will end its wait', r.flow || ' ' || r.record_key
FROM runs r WHERE r.state IN ('waiting', 'paused')
    AND NOT EXISTS (SELECT FROM owned c WHERE c.run_id = r.run_id)
    AND (r.waits_for = '' OR NOT (r.due_at IS NOT NULL OR r.waits_document IS NOT NULL
        OR EXISTS (SELECT FROM run_waits w WHERE w.run_id = r.run_id)
        OR EXISTS (SELECT FROM approvals p WHERE p.run_id = r.run_id AND p.state = 'asked')))
UNION ALL
SELECT 'a run ended, and does not say when', r.flow || ' ' || r.record_key
FROM runs r WHERE (r.state IN ('complete', 'undone')) <> (r.ended_at IS NOT NULL)
UNION ALL
SELECT 'a write is under way, and nothing moves any more', i.system || ' ' || i.reference
FROM dispatch_states s JOIN intents i USING (dispatch_id)
WHERE s.state IN ('sending', 'accepted', 'unknown', 'written')
UNION ALL
SELECT 'a target refused a document that is wanted, and it is in nobody''s case',
    d.system || ' ' || d.reference
FROM documents d JOIN record_heads h USING (record_type, record_key)
WHERE d.refused_intent <> '' AND h.in_scope AND EXISTS (SELECT FROM runs r
    WHERE r.record_key = d.record_key)
    AND NOT EXISTS (SELECT FROM owned c WHERE c.record_key = d.record_key)
UNION ALL
SELECT 'a case does not say whose it is, what happened, what to do or what found it',
    reason || ' ' || coalesce(nullif(source_key, ''), nullif(record_key, ''), system)
FROM cases WHERE state = 'open' AND '' IN (owner, words, next_action, control)
"""


def nothing_fails_silently(scene: Scene) -> list[Broken]:
    """At rest every arrival has ended, or is in an open case that somebody owns; every run has
    ended, or is in such a case, or says what it waits for and has something that ends the wait; so
    has every write of which nobody knows whether it arrived. What counts as refused was refused,
    what counts as proven has its proof, and no run fails of something that nobody foresaw. Every
    open case says whose it is, what happened, what to do next and what found it; since when, every
    case knows. What is held, in doubt, refused or proven is so at every moment, not only then."""
    query, asked = f"{_OWNED}{_ALWAYS}ORDER BY 1, 2", {}
    if scene.phase == "rest":
        query = f"{_OWNED}{_ALWAYS}UNION ALL{_AT_REST}ORDER BY 1, 2"
        asked["starts"] = [".".join(at) for at in sorted(scene.compiled.flows_by_stream)]
    rows = scene.connection.execute(query.encode(), asked).fetchall()
    keys: dict[str, list[str]] = {}
    for words, key in rows:
        keys.setdefault(words, []).append(key)
    return [one for words, some in keys.items() for one in broken("P7", words, some)]
