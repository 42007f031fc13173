"""Cases on what a connector says of itself, its health, and that it keeps nothing."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from tieout.finance.outcome import AlreadyThere, Written
from tieout.ports.connector import (
    Connector,
    Field,
    Finds,
    GivesTotals,
    HasPeriods,
    Reads,
    Receives,
    Stream,
    Write,
    Writes,
)
from tieout.rehearsal.contract.bench import Bench, Hooks


def describes_itself(hooks: Hooks) -> None:
    connector = hooks.connector
    assert isinstance(connector, Connector), "the object lacks part of the Connector protocol"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", connector.name), f"name {connector.name!r}"
    assert connector.title, "the connector has no title"
    assert connector.streams, "the connector offers no stream"
    for said, what in ((connector.settings, "setting"), (connector.secrets, "secret")):
        for name, words in said.items():
            assert words.strip(), f"{what} {name} has no description"
    for name, stream in connector.streams.items():
        assert name == stream.name, f"stream {stream.name} is listed as {name}"


def error_table_helps(hooks: Hooks) -> None:
    rules = hooks.connector.errors.rules
    assert rules, "the error table is empty"
    for rule in rules:
        assert rule.words.strip(), f"an error rule has no words: {rule}"
        assert rule.next_action.strip(), f"an error rule has no next action: {rule}"
        assert rule.status or rule.code or rule.pattern, f"an error rule matches all: {rule}"
        re.compile(rule.pattern)


def is_described(hooks: Hooks, stream: Stream) -> None:
    connector = hooks.connector
    assert stream.title, f"{stream.name} has no title"
    assert stream.reads or stream.receives or stream.writes, f"{stream.name} does nothing"
    _fields_are_sound(stream.name, stream.fields)
    names = {field.name for field in stream.fields}
    if stream.reads:
        assert isinstance(connector, Reads), f"{stream.name} reads, the connector does not"
        assert stream.key in names, f"{stream.name}: key {stream.key!r} is not a field"
        assert stream.version in names, (
            f"{stream.name}: version {stream.version!r} is not a field; a stream that reads "
            "names the field that orders versions of a row"
        )
    if stream.receives:
        assert isinstance(connector, Receives), f"{stream.name} receives, the connector does not"
    if stream.writes:
        assert isinstance(connector, Writes), f"{stream.name} writes, the connector does not"
        assert isinstance(connector, Finds), f"{stream.name} is written but cannot be read back"
        assert stream.idempotency is not None, f"{stream.name}: state the idempotency"
        assert stream.facts, f"{stream.name}: state the facts that a proof compares"
        assert stream.most_writes_per_call >= 1, f"{stream.name}: most_writes_per_call"
        if stream.idempotency.grade == "B":
            assert (
                stream.idempotency.in_flight_seconds > 0
                or stream.idempotency.key_lifetime_seconds is not None
            ), f"{stream.name}: grade B states in_flight_seconds or key_lifetime_seconds"


def _fields_are_sound(where: str, fields: tuple[Field, ...]) -> None:
    assert fields, f"{where} has no fields"
    names = [field.name for field in fields]
    assert len(set(names)) == len(names), f"{where}: a field is named twice: {names}"
    folded = {name.lower() for name in names}
    assert len(folded) == len(names), f"{where}: names that differ only in case: {names}"
    for field in fields:
        if field.fields:
            assert field.type in {"object", "list"}, f"{where}.{field.name} has inner fields"
            _fields_are_sound(f"{where}.{field.name}", field.fields)


def check_is_well(hooks: Hooks) -> None:
    with hooks.bench() as bench:
        health = hooks.connector.check(bench.session)
        assert health.well, health.words
        assert health.words, "a healthy check says so in words"


def check_with_wrong_secrets_says_what_to_do(hooks: Hooks) -> None:
    with hooks.tenant() as served:
        health = hooks.connector.check(hooks.session_for(served, hooks.wrong_secrets(served)))
        assert not health.well, "check is well with wrong secrets"
        assert health.words, "an ill check says what is wrong"
        assert health.next_action, "an ill check says what to do"


def check_of_a_system_that_is_down_says_what_to_do(hooks: Hooks) -> None:
    with hooks.tenant() as served:
        session = hooks.session_for(served)
    health = hooks.connector.check(session)
    assert not health.well, "check is well although nothing listens"
    assert health.next_action, "an ill check says what to do"


def keeps_nothing(hooks: Hooks) -> None:
    before = _state(hooks.connector)
    with hooks.bench(prepared=True) as bench:
        for stream in hooks.connector.streams.values():
            if stream.writes:
                bench.settle(stream, hooks.examples(bench, stream.name, 1))
            if stream.reads:
                bench.rows(stream)
    assert _state(hooks.connector) == before, "the connector's attributes changed while it worked"


def sessions_do_not_meet(hooks: Hooks) -> None:
    """Two tenants side by side: what one does shows nowhere in the other, nor does its failure."""
    with hooks.bench(prepared=True) as one, hooks.bench(prepared=True) as other:
        refused = hooks.session_for(other.served, hooks.wrong_secrets(other.served), "elsewhere")
        for stream in hooks.connector.streams.values():
            if not stream.writes:
                continue
            example = hooks.examples(one, stream.name, 1)[0]
            theirs = hooks.examples(other, stream.name, 1)[0]
            assert not hooks.connector.check(refused).well
            _is_applied(one, stream, example)
            assert other.differences(stream, theirs), f"{stream.name}: written in both tenants"
        assert hooks.connector.check(other.session).well, "one session's failure reached another"


def _is_applied(bench: Bench, stream: Stream, example: Write) -> None:
    outcome = bench.settle(stream, [example])[0]
    assert isinstance(outcome, Written | AlreadyThere), f"{stream.name}: {outcome}"


def periods_are_whole(hooks: Hooks) -> None:
    connector = hooks.connector
    assert isinstance(connector, HasPeriods)
    with hooks.bench() as bench:
        periods = connector.periods(bench.session)
    assert periods, "the system knows no accounting period"
    for period in periods:
        assert period.name, f"a period without a name: {period}"
        assert period.start <= period.end, f"a period ends before it starts: {period}"
        assert period.state in {"open", "soft_closed", "closed"}, f"{period}"
    spans = [(period.start, period.end) for period in periods]
    assert len(set(spans)) == len(spans), "two periods cover the same days"


def totals_are_exact(hooks: Hooks) -> None:
    connector = hooks.connector
    assert isinstance(connector, GivesTotals)
    with hooks.bench(prepared=True) as bench:
        stream, ask, expected = hooks.totals_example(bench)
        assert expected, "totals_example expects at least one total"
        given = connector.totals(bench.session, stream, ask)
    assert sorted(given, key=str) == sorted(expected, key=str), f"{stream}: totals {given}"


def _state(connector: Connector) -> Mapping[str, object]:
    names = set(getattr(connector, "__dict__", {})) | {
        name
        for kind in type(connector).__mro__
        for name, value in vars(kind).items()
        if not name.startswith("__") and not callable(value)
    }
    return {
        name: copy.deepcopy(value)
        for name in sorted(names)
        if not callable(value := getattr(connector, name, None))
    }
