"""A small history of Northwind's books, told through the store's own functions.

Thirty orders: most are proved everywhere; one was amended and its first answer lost, one has an
unknown currency, one does not add up, one stands before a closed period, one is still moving.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

from tests.web.story_end import stop_two, tie_out
from tests.web.story_facts import (
    ENTITIES,
    HELD,
    SetClock,
    amount_of,
    arrive,
    key_of,
    opportunity,
)
from tieout import clock
from tieout.finance.digest import canonical_json, digest_bytes, record_key
from tieout.store import arrivals, cases, dispatches, documents, intents, proofs, records, runs
from tieout.store.arrivals import Settled, partition_of
from tieout.store.cases import NewCase
from tieout.store.database import Connection, Database
from tieout.store.dispatches import Change, Dispatch
from tieout.store.documents import NewDocument
from tieout.store.intents import NewDispatch
from tieout.store.proofs import Attempt, Proof
from tieout.store.records import Record
from tieout.store.runs import Advance, Wanted

__all__ = ["HELD", "SetClock", "amount_of", "arrive", "key_of", "opportunity", "tell"]

FLOW = "quote_to_cash"
AMENDED, MOVING = 3, 5


def tell(database: Database) -> dt.datetime:
    """Write the whole history; returns when it ends."""
    with clock.world(SetClock()) as world:
        assert isinstance(world, SetClock)
        for number in range(1, 31):
            with database.transaction() as connection:
                _order(connection, world, number)
        with database.transaction() as connection:
            _amend(connection, world)
            stop_two(connection, world)
            tie_out(connection)
            connection.execute(
                "INSERT INTO system_states VALUES ('netsuite', 'busy', %s, 1, "
                "'too many requests at a time', %s)",
                (world.at + dt.timedelta(seconds=3), world.at),
            )
        world.sleep(240)
        return world.at


def _body(number: int, amount: Decimal) -> str:
    entity, currency = ENTITIES[number % len(ENTITIES)]
    half = (amount / 2).quantize(Decimal("0.01"))
    return canonical_json(
        {
            "currency": currency,
            "customer": record_key("customer", "salesforce", "001A"),
            "legal_entity": entity,
            "number": str(10247 + number),
            "ordered_on": "2020-07-04",
            "status": "won",
            "total": str(amount),
            "lines": [{"line": 1, "amount": str(half)}, {"line": 2, "amount": str(amount - half)}],
        }
    ).decode()


def _record(
    connection: Connection, number: int, version: int, amount: Decimal, arrival_id: int
) -> Record:
    entity, currency = ENTITIES[number % len(ENTITIES)]
    body = _body(number, amount)
    one = Record(
        "sales_order",
        key_of(number),
        version,
        body,
        digest_bytes(body.encode()),
        True,
        "salesforce",
        "Opportunity",
        opportunity(number),
        f"v{version}",
        arrival_id,
        "opportunity_to_sales_order",
        1,
        "ab" * 32,
        entity,
        currency,
        amount,
        dt.date(2020, 7, 4),
        "2020-07",
        "won",
        str(10247 + number),
    )
    records.add(connection, [one])
    arrivals.settle(
        connection,
        [Settled(arrival_id, "recorded", "sales_order", one.record_key, version, entity)],
    )
    runs.start(
        connection,
        [
            Wanted(
                FLOW,
                "sales_order",
                one.record_key,
                version,
                "forward",
                "close_critical",
                entity,
                partition_of(one.record_key),
                "ab" * 32,
            )
        ],
    )
    return one


def _order(connection: Connection, world: SetClock, number: int) -> None:
    world.sleep(0.4)
    arrival_id = arrive(connection, number, "v1", f'{{"Id":"{opportunity(number)}"}}', "webhook")
    if number % 4 == 0:
        arrive(connection, number, "v1", f'{{"Id":"{opportunity(number)}"}}', "webhook")
    world.sleep(0.05)
    record = _record(connection, number, 1, amount_of(number), arrival_id)
    if number == HELD:
        _hold(connection, record)
        return
    _write(connection, world, record, "salesOrder", f"SO{1000 + number}", lost=number == AMENDED)
    if number == MOVING:
        _advance(connection, record, "waiting", 3, "proof of invoice in netsuite")
        return
    _write(connection, world, record, "invoice", f"INV{500 + number}")
    _advance(connection, record, "complete", 6)


def _run(connection: Connection, record: Record) -> runs.Run:
    row = connection.execute(
        "SELECT run_id, flow, record_type, record_key, record_version, revision, mode, step_no, "
        "state, waits_for, waits_since, lane, legal_entity, partition_no FROM runs "
        "WHERE record_key = %s",
        (record.record_key,),
    ).fetchone()
    assert row is not None
    return runs.Run(*row)


def _advance(
    connection: Connection, record: Record, state: str, step_no: int, waits_for: str = ""
) -> None:
    run = _run(connection, record)
    names = (
        "ensure customer in netsuite",
        "ensure product in netsuite",
        "write sales_order to netsuite",
        "write invoice to netsuite",
    )
    runs.note_steps(
        connection,
        [
            runs.StepNote(run, index, name, "done" if index < step_no else "started")
            for index, name in enumerate(names)
            if index <= step_no
        ],
    )
    runs.advance(connection, [Advance(run, state, step_no, waits_for)], run.landscape_hash)


def _hold(connection: Connection, record: Record) -> None:
    _advance(connection, record, "held", 2, "the accounting period 2020-06 is closed in netsuite")
    cases.open_cases(
        connection,
        [
            NewCase(
                "period_closed",
                "period gate",
                "the accounting period 2020-06 is closed in netsuite",
                "Reopen the period, or correct the date at the source; then replay.",
                "revenue-operations",
                "accounting date",
                "2020-06-30",
                "flows/quote_to_cash.yaml:11",
                "salesforce",
                "Opportunity",
                record.source_key,
                None,
                "sales_order",
                record.record_key,
                _run(connection, record).run_id,
                None,
                record.amount,
                record.currency,
                record.legal_entity,
                "2020-06",
            )
        ],
    )


def _write(
    connection: Connection,
    world: SetClock,
    record: Record,
    stream: str,
    number: str,
    *,
    lost: bool = False,
    action: str = "create",
) -> None:
    reference = f"{stream}-{record.source_key}"
    new = NewDocument(
        record.record_key, reference, record.legal_entity, partition_of(record.record_key)
    )
    wanted = documents.find_or_draft(connection, "netsuite", stream, "sales_order", [new])
    found = wanted.documents[record.record_key]
    world.sleep(0.02)
    body = json.dumps({"amount": str(record.amount)})
    digest = digest_bytes(body.encode())
    revision = intents.revision_of(found, action, digest)
    planned = intents.plan(
        connection,
        [
            NewDispatch(
                found,
                action,
                1,
                revision,
                intents.write_key_of(found, revision),
                reference,
                intents.target_of(found, action, 1),
                record.version,
                FLOW,
                body,
                digest,
                clock.now(),
                "close_critical",
                partition_of(record.record_key),
                record.legal_entity,
                record.currency,
                record.amount,
                "2020-07",
                f"sales_order_to_{stream}",
                1,
                "ab" * 32,
                (),
            )
        ],
    )
    if not found.born:
        documents.register(connection, [(found, new)], {found.document_id: planned[0].dispatch_id})
    started_at = clock.now()
    (one,) = dispatches.start_sending(connection, planned)
    world.sleep(0.11)
    if lost:
        _attempt(
            connection,
            one,
            1,
            "send",
            "Unknown",
            started_at,
            "the connection was reset before an answer came",
        )
        world.sleep(2.2)
        started_at = clock.now()
        _attempt(connection, one, 1, "look", "not applied", started_at, "not applied")
        started_at = clock.now()
        world.sleep(0.2)
    _attempt(connection, one, 2 if lost else 1, "send", "Written", started_at, "")
    target = str(4000 + one.dispatch_id)
    dispatches.change(connection, [Change(one.dispatch_id, "written", clock.now())])
    world.sleep(0.3)
    facts = {"amount": str(record.amount), "currency": record.currency, "date": "2020-07-04"}
    text = canonical_json(facts).decode()
    proofs.add_proofs(
        connection, [Proof(one, True, text, text, "", target, number, digest_bytes(text.encode()))]
    )
    dispatches.change(connection, [Change(one.dispatch_id, "proved", clock.now(), "", target, 1)])


def _attempt(
    connection: Connection,
    one: Dispatch,
    number: int,
    kind: str,
    outcome: str,
    started_at: dt.datetime,
    words: str,
) -> None:
    proofs.log_attempts(
        connection,
        [
            Attempt(
                one.dispatch_id,
                number,
                kind,
                outcome,
                "",
                words,
                None,
                started_at,
                one.legal_entity,
            )
        ],
        "worker-1",
    )


def _amend(connection: Connection, world: SetClock) -> None:
    world.sleep(5400)
    arrival_id = arrive(connection, AMENDED, "v2", '{"Amount":2000}', "poll")
    record = _record(connection, AMENDED, 2, Decimal("2000.00"), arrival_id)
    _write(connection, world, record, "salesOrder", "SO1003", action="change")
    _advance(connection, record, "complete", 6)
