"""The control totals against the rows themselves: what was counted as it moved must be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Asking = Callable[[str], Sequence[tuple[object, ...]]]

_COUNTED_AND_THERE = """
WITH there AS (
    SELECT system || '.' || stream AS flow, 'received' AS hop, 'received' AS bucket,
        '' AS legal_entity, '' AS period, '' AS currency, count(*) AS count, 0::numeric AS sum
    FROM arrivals GROUP BY 1
  UNION ALL
    SELECT a.system || '.' || a.stream, 'resolved', a.state, coalesce(r.legal_entity, ''),
        coalesce(r.period, ''), coalesce(r.currency, ''), count(*), coalesce(sum(r.amount), 0)
    FROM arrivals a LEFT JOIN records r ON r.record_type = a.record_type
        AND r.record_key = a.record_key AND r.version = a.record_version
    WHERE a.state <> 'new' GROUP BY 1, 3, 4, 5, 6
  UNION ALL
    SELECT d.flow, d.system || '.' || d.stream, CASE d.action WHEN 'create' THEN 'posted'
        WHEN 'change' THEN 'changed' WHEN 'void' THEN 'voided' ELSE 'deleted' END,
        d.legal_entity, d.period, d.currency, count(*), coalesce(sum(d.amount), 0)
    FROM proofs p JOIN dispatches d USING (dispatch_id) WHERE p.verdict = 'agrees'
    GROUP BY 1, 2, 3, 4, 5, 6
), counted AS (
    SELECT flow, hop, bucket, legal_entity, period, currency, count, sum FROM totals
    WHERE bucket <> 'duplicate' AND (count <> 0 OR sum <> 0)
)
SELECT * FROM (SELECT 'only counted', c.* FROM (TABLE counted EXCEPT TABLE there) AS c
    UNION ALL SELECT 'only there', t.* FROM (TABLE there EXCEPT TABLE counted) AS t) AS found
ORDER BY flow, hop, bucket, legal_entity, period, currency
"""


def recount(ask: Asking) -> list[tuple[object, ...]]:
    """Totals that are not what the rows come to, with what each side says; none if all agree."""
    return list(ask(_COUNTED_AND_THERE))
