"""What the story ended in: our own books, and what the emulated systems hold themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.processes.commands import rows, table
from tieout.finance.digest import canonical_json, digest_bytes
from tieout.rehearsal.northwind.story import Ending


@dataclass(frozen=True)
class EndState:
    """What must come out the same, however often somebody was killed."""

    records: list[Any]
    documents: list[Any]
    runs: list[Any]
    cases: list[Any]
    tie_outs: list[Any]
    erp: dict[str, list[Any]]
    plan: dict[str, Any]
    crm: dict[str, Any]

    @property
    def digest(self) -> str:
        return digest_bytes(canonical_json(_plain(self.__dict__)))


def end_state(url: str, port: int, ending: Ending) -> EndState:
    """Ours from the database, theirs from the emulators; chance ids and times are out."""
    return EndState(
        records=rows(
            url,
            "SELECT DISTINCT ON (record_type, record_key) record_type, record_key, source_key, "
            "body, in_scope FROM records ORDER BY record_type, record_key, version DESC",
        ),
        documents=rows(
            url,
            "SELECT system, stream, reference, part, state, generation, "
            "target_id <> '' FROM documents ORDER BY 1, 2, 3, 4",
        ),
        runs=rows(url, "SELECT flow, record_key, state FROM runs ORDER BY 1, 2, 3"),
        cases=rows(
            url,
            "SELECT reason, control, field, value, source_key FROM cases "
            "WHERE state = 'open' ORDER BY 1, 2, 3, 4, 5",
        ),
        tie_outs=ending.tie_outs,
        erp=_erp(port + 2),
        plan=table(port + 3, "bookings"),
        crm={
            key: [row.get(name) for name in ("StageName", "Amount", "ERP_Status__c")]
            for key, row in table(port + 1, "Opportunity").items()
        },
    )


def _erp(port: int) -> dict[str, list[Any]]:
    """Documents of the ERP by their permanent references, internal numbers replaced by those."""
    kinds = ("customer", "inventoryItem", "salesOrder", "invoice", "creditMemo")
    tables = {kind: table(port, kind) for kind in kinds}
    reference = {
        key: str(row["externalId"]) for rows_ in tables.values() for key, row in rows_.items()
    }
    return {
        kind: sorted(
            (
                [
                    row["externalId"],
                    row.get("otherRefNum"),
                    row.get("tranDate"),
                    row.get("total"),
                    row.get("status"),
                    reference.get(str((row.get("entity") or {}).get("id")), ""),
                    reference.get(str((row.get("createdFrom") or {}).get("id")), ""),
                    [
                        [reference.get(str(line["item"]["id"])), line["quantity"], line["amount"]]
                        for line in (row.get("item") or {}).get("items", [])
                    ],
                ]
                for row in rows_.values()
            ),
            key=str,
        )
        for kind, rows_ in tables.items()
    }


def _plain(value: Any) -> Any:
    """Values as JSON has them, exact numbers as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool) or value is None else str(value)


def posted_twice(port: int) -> dict[str, int]:
    """Documents that the ERP or the plan holds twice, asked from the systems themselves."""
    orders = Counter(
        row["otherRefNum"]
        for row in table(port + 2, "salesOrder").values()
        if row["status"]["refName"] != "Closed"
    )
    open_invoices = Counter(
        row["otherRefNum"]
        for row in table(port + 2, "invoice").values()
        if row["status"]["refName"] == "Open"
    )
    items = Counter(row["itemId"] for row in table(port + 2, "inventoryItem").values())
    customers = Counter(row["entityId"] for row in table(port + 2, "customer").values())
    lines = Counter((row["order_id"], row["line"]) for row in table(port + 3, "bookings").values())
    return {
        f"{name} {key}": times
        for name, counted in {
            "order": orders,
            "invoice": open_invoices,
            "item": items,
            "customer": customers,
            "booking": lines,
        }.items()
        for key, times in counted.items()
        if times > 1
    }


def unseen(url: str, port: int) -> list[str]:
    """Won deals whose newest version has no arrival, although every webhook was acknowledged."""
    assert table(port + 1, "_notifications") == {}, "webhooks that were not acknowledged yet"
    arrived = {
        (str(key), str(version))
        for key, version in rows(
            url, "SELECT source_key, source_version FROM arrivals WHERE stream = 'Opportunity'"
        )
    }
    return [
        key
        for key, row in table(port + 1, "Opportunity").items()
        if row["StageName"] == "Closed Won" and (key, str(row["SystemModstamp"])) not in arrived
    ]
