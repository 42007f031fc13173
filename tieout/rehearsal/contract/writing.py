"""Cases on a stream that writes: one outcome each, one document each, read back as meant."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal

from tieout.finance.outcome import Accepted, AlreadyThere, Outcome, Rejected, Written
from tieout.ports.connector import Finds, Follows, Job, Stream
from tieout.rehearsal.contract.bench import Hooks
from tieout.rehearsal.contract.wire import HoldsBack, as_html, changed, every, with_extra_fields


def is_there(outcome: Outcome) -> bool:
    return isinstance(outcome, Written | AlreadyThere)


def each_write_is_read_back_as_meant(hooks: Hooks, stream: Stream) -> None:
    connector = hooks.connector
    assert isinstance(connector, Finds)
    with hooks.bench(prepared=True) as bench:
        writes = hooks.examples(bench, stream.name, 3)
        assert len({write.write_key for write in writes}) == 3, "examples share a write key"
        assert bench.write(stream, []) == [], "no writes, no outcomes"
        for write in writes:
            before = copy.deepcopy(write)
            meant = dict(connector.meant(stream.name, write))
            assert meant, f"{stream.name}: a proof needs facts"
            assert set(meant) <= set(stream.facts), f"{stream.name}: undeclared {sorted(meant)}"
            assert meant == dict(connector.meant(stream.name, write)), "meant is not pure"
            assert write == before, "meant altered the write"
            for name, kind in stream.facts.items():
                if kind == "amount" and name in meant:
                    Decimal(meant[name])
        outcomes = bench.settle(stream, writes)
        for write, outcome in zip(writes, outcomes, strict=True):
            assert isinstance(outcome, Written), f"{stream.name} {write.reference}: {outcome}"
            bench.must_show(stream, write)
            found = bench.find(stream, write)
            assert found is not None
            assert found.target_id == outcome.target_id, (
                f"{stream.name}: written as {outcome.target_id}, found as {found.target_id}"
            )
            assert set(found.facts) <= set(stream.facts), "find shows undeclared facts"
        together = connector.find(bench.session, stream.name, writes)
        assert set(together) == {write.write_key for write in writes}
        assert all(found is not None for found in together.values())


def a_repeat_makes_no_second_document(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        writes = hooks.examples(bench, stream.name, 2)
        assert all(map(is_there, bench.settle(stream, writes)))
        once = hooks.count_documents(bench, stream.name)
        assert once > 0, f"{stream.name}: override count_documents to count where they are"
        again = bench.settle(stream, writes)
        assert all(map(is_there, again)), f"{stream.name}: a repeat came to {again}"
        assert hooks.count_documents(bench, stream.name) == once, (
            f"{stream.name}: a repeat made a second document"
        )
        for write in writes:
            bench.must_show(stream, write)


def a_late_delivery_makes_no_second_document(hooks: Hooks, stream: Stream) -> None:
    """The network delivers a write after it was given up and sent again; then once more."""
    with hooks.bench(prepared=True) as bench:
        real = bench.session.transport
        write = hooks.examples(bench, stream.name, 1)[0]
        network = HoldsBack(real, hooks.effect(stream.name))
        bench.session.transport = network
        lost = bench.write(stream, [write])[0]
        assert not is_there(lost), f"{stream.name}: nothing arrived, yet {lost}"
        assert network.held, f"{stream.name}: effect() matches no call of a write"
        bench.session.transport = real
        assert is_there(bench.settle(stream, [write])[0])
        bench.must_show(stream, write)
        once = hooks.count_documents(bench, stream.name)
        network.deliver_late()
        network.deliver_late()
        bench.must_show(stream, write)
        assert hooks.count_documents(bench, stream.name) == once, (
            f"{stream.name}: a late delivery made a second document"
        )


def a_bad_write_harms_no_other(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        first, last = hooks.examples(bench, stream.name, 2)
        bad = hooks.bad_example(bench, stream.name)
        outcomes = bench.settle(stream, [first, bad, last])
        assert isinstance(outcomes[1], Rejected), f"{stream.name}: the bad one: {outcomes[1]}"
        assert outcomes[1].detail.words, "a rejection says why"
        assert outcomes[1].detail.next_action, "a rejection says what to do"
        assert isinstance(outcomes[0], Written), f"{stream.name}: the first: {outcomes[0]}"
        assert isinstance(outcomes[2], Written), f"{stream.name}: the last: {outcomes[2]}"
        assert bench.differences(stream, bad), f"{stream.name}: rejected, yet there"
        bench.must_show(stream, first)
        bench.must_show(stream, last)


def unknown_fields_are_tolerated(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        bench.session.transport = changed(bench.session.transport, every, with_extra_fields)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Written), f"{stream.name}: {outcome}"
        bench.must_show(stream, write)


def amounts_are_exact(hooks: Hooks, stream: Stream) -> None:
    connector = hooks.connector
    assert isinstance(connector, Finds)
    for amount in hooks.exact_amounts:
        with hooks.bench(prepared=True) as bench:
            write = hooks.example_with_amount(bench, stream.name, amount)
            meant = connector.meant(stream.name, write)
            assert any(
                Decimal(meant[name]) == Decimal(amount)
                for name, kind in stream.facts.items()
                if kind == "amount" and name in meant
            ), f"{stream.name}: no fact means {amount}: {dict(meant)}"
            outcome = bench.settle(stream, [write])[0]
            assert is_there(outcome), f"{stream.name} {amount}: {outcome}"
            bench.must_show(stream, write)


def a_change_is_read_back(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        first = bench.settle(stream, [write])[0]
        assert is_there(first), f"{stream.name}: {first}"
        once = hooks.count_documents(bench, stream.name)
        change = hooks.changed_example(bench, stream.name, write)
        if isinstance(first, Written) and not change.target_id:
            change = replace(change, target_id=first.target_id)
        assert change.reference == write.reference, "a change keeps the reference"
        assert bench.differences(stream, change), "the changed example changes nothing"
        outcome = bench.settle(stream, [change])[0]
        assert isinstance(outcome, Written), f"{stream.name}: {outcome}"
        bench.must_show(stream, change)
        assert hooks.count_documents(bench, stream.name) == once, "a change made a new document"


def a_void_is_read_back(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        first = bench.settle(stream, [write])[0]
        assert is_there(first), f"{stream.name}: {first}"
        void = hooks.voided_example(bench, stream.name, write)
        if isinstance(first, Written) and not void.target_id:
            void = replace(void, target_id=first.target_id)
        assert bench.differences(stream, void), f"{stream.name}: voided before it was"
        for _ in range(2):
            outcome = bench.settle(stream, [void])[0]
            assert is_there(outcome), f"{stream.name}: {outcome}"
            bench.must_show(stream, void)


def jobs_are_followed_to_the_end(hooks: Hooks) -> None:
    """At least one stream answers Accepted; its job ends, and no answer never ends it."""
    connector = hooks.connector
    assert isinstance(connector, Follows)
    followed = 0
    for stream in connector.streams.values():
        if not stream.writes:
            continue
        with hooks.bench(prepared=True) as bench:
            write = hooks.examples(bench, stream.name, 1)[0]
            accepted = bench.write(stream, [write])[0]
            if not isinstance(accepted, Accepted):
                continue
            followed += 1
            assert accepted.handle, "an accepted job has a handle"
            assert accepted.look_after_seconds >= 0
            real = bench.session.transport
            bench.session.transport = changed(real, every, as_html)
            job = Job(accepted.handle, (write,))
            blind = connector.follow(bench.session, stream.name, [job])[0][0]
            assert not isinstance(blind, Written | AlreadyThere | Rejected), f"from HTML: {blind}"
            bench.session.transport = real
            ended = bench.follow(stream, [write], [accepted])[0]
            assert isinstance(ended, Written), f"{stream.name}: {ended}"
            bench.must_show(stream, write)
            nobody = Job("no-such-handle", (write,))
            strange = connector.follow(bench.session, stream.name, [nobody])[0][0]
            assert not isinstance(strange, Written), f"a job nobody knows: {strange}"
    assert followed, "the connector follows jobs, yet no stream ever answers Accepted"


CASES = (
    each_write_is_read_back_as_meant,
    a_bad_write_harms_no_other,
    unknown_fields_are_tolerated,
)
CASES_OVER_A_LINE = (each_write_is_read_back_as_meant, a_bad_write_harms_no_other)
CASES_OF_GRADE_A_OVER_A_LINE = (a_repeat_makes_no_second_document,)
CASES_OF_GRADE_A = (
    a_repeat_makes_no_second_document,
    a_late_delivery_makes_no_second_document,
)
