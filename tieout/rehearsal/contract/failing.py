"""Cases on a write that fails: who acts is told rightly, and no answer is never taken for one."""

from __future__ import annotations

from tieout.emulators.kit import FaultKind
from tieout.finance.outcome import Busy, Denied, Outage, Rejected, Unknown, Written
from tieout.ports.connector import Stream
from tieout.ports.http import Response
from tieout.rehearsal.contract.bench import Bench, Hooks, failure
from tieout.rehearsal.contract.wire import Unauthorised, as_html, changed, truncated


def a_lost_reply_is_unknown_and_found(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        bench.plant("lost_reply", hooks.effect(stream.name), most=1)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Unknown), f"{stream.name}: {outcome}"
        assert outcome.detail.words, "an unknown outcome says what happened"
        bench.heal()
        bench.must_show(stream, write)


def a_lost_request_is_unknown_and_not_found(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        bench.plant("lost_request", hooks.effect(stream.name), most=1)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Unknown), f"{stream.name}: {outcome}"
        bench.heal()
        assert bench.differences(stream, write), f"{stream.name}: found although never applied"
        assert isinstance(bench.settle(stream, [write])[0], Written)


def busy_with_a_wait(hooks: Hooks, stream: Stream) -> None:
    _busy(hooks, stream, "busy")


def busy_without_a_wait(hooks: Hooks, stream: Stream) -> None:
    _busy(hooks, stream, "busy_without_wait")


def _busy(hooks: Hooks, stream: Stream, kind: FaultKind) -> None:
    with hooks.bench(prepared=True) as bench:
        writes = hooks.examples(bench, stream.name, 2)
        fault = bench.plant(kind)
        told = bench.served.emulator.busy(fault).retry_after_seconds()
        for outcome in bench.settle(stream, writes):
            assert isinstance(outcome, Busy), f"{stream.name}: {outcome}"
            assert outcome.wait_seconds == told, f"told {told}, said {outcome.wait_seconds}"
        bench.heal()
        for write in writes:
            assert bench.differences(stream, write), f"{stream.name}: busy, yet applied"


def a_server_error_is_no_answer(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        bench.plant("server_error", hooks.effect(stream.name))
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Unknown | Outage), f"{stream.name}: {outcome}"


def a_system_that_is_down_is_an_outage(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        writes = hooks.examples(bench, stream.name, 2)
    bench.session = hooks.session_for(bench.served)
    for outcome in bench.settle(stream, writes):
        assert isinstance(outcome, Outage), f"{stream.name}: {outcome}"
    lost = failure(lambda: bench.find(stream, writes[0]))
    assert isinstance(lost, Outage), f"{stream.name}: find of a system that is down: {lost}"


def wrong_secrets_are_denied(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        writes = hooks.examples(bench, stream.name, 2)
        right = bench.session
        bench.session = hooks.session_for(bench.served, hooks.wrong_secrets(bench.served))
        for outcome in bench.settle(stream, writes):
            assert isinstance(outcome, Denied), f"{stream.name}: {outcome}"
        bench.session = right
        assert bench.differences(stream, writes[0]), f"{stream.name}: denied, yet applied"


def an_expired_token_is_renewed_once(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        guard = _guard(hooks, bench, stream, times=1)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Written), f"{stream.name}: {outcome}"
        assert guard.seen >= 2, f"{stream.name}: effect() matches no call of a write"


def a_lasting_401_is_denied(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        guard = _guard(hooks, bench, stream, times=1_000)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Denied), f"{stream.name}: {outcome}"
        most = 2 if hooks.token_expires else 1
        assert guard.seen <= most, f"{stream.name}: {guard.seen} tries at a 401"


def _guard(hooks: Hooks, bench: Bench, stream: Stream, times: int) -> Unauthorised:
    guard = Unauthorised(
        bench.session.transport, hooks.effect(stream.name), hooks.unauthorised(), times
    )
    bench.session.transport = guard
    return guard


def a_web_page_is_unknown(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        real = bench.session.transport
        bench.session.transport = changed(real, hooks.effect(stream.name), as_html)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Unknown), f"{stream.name}: {outcome}"


def half_an_answer_is_unknown(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        write = hooks.examples(bench, stream.name, 1)[0]
        real = bench.session.transport
        bench.session.transport = changed(real, hooks.effect(stream.name), truncated)
        outcome = bench.settle(stream, [write])[0]
        assert isinstance(outcome, Unknown), f"{stream.name}: {outcome}"


def secrets_stay_secret(hooks: Hooks, stream: Stream) -> None:
    """Refused, denied, down and with an answer that repeats the secrets: nobody says them aloud."""
    with hooks.bench(prepared=True) as bench:
        secrets = dict(hooks.session_secrets(bench.served))
        said: list[object] = []
        right = bench.session
        writes = [
            *hooks.examples(bench, stream.name, 1),
            hooks.bad_example(bench, stream.name),
        ]
        said += bench.settle(stream, writes)
        echo = Response(500, {}, " ".join(secrets.values()).encode())
        effect = hooks.effect(stream.name)
        right.transport = changed(right.transport, effect, lambda response: echo)
        bench.settle(stream, writes[:1])
        said += right.evidence
        wrong = hooks.wrong_secrets(bench.served)
        bench.session = hooks.session_for(bench.served, wrong)
        said += bench.settle(stream, writes)
        said.append(failure(lambda: bench.find(stream, writes[0])))
        said.append(hooks.connector.check(bench.session))
        said += bench.session.evidence
    bench.session = hooks.session_for(bench.served)
    said += bench.settle(stream, writes)
    said.append(failure(lambda: bench.find(stream, writes[0])))
    said += bench.session.evidence
    for thing in said:
        for name, secret in [*secrets.items(), *wrong.items()]:
            assert secret not in repr(thing), f"secret {name} is said aloud in {type(thing)}"
            assert not isinstance(thing, Rejected) or thing.detail.words


CASES_OVER_A_LINE = (
    a_lost_reply_is_unknown_and_found,
    a_lost_request_is_unknown_and_not_found,
    a_system_that_is_down_is_an_outage,
)
CASES_WITH_SECRETS = (wrong_secrets_are_denied, secrets_stay_secret)
CASES = (
    a_lost_reply_is_unknown_and_found,
    a_lost_request_is_unknown_and_not_found,
    busy_with_a_wait,
    busy_without_a_wait,
    a_server_error_is_no_answer,
    a_system_that_is_down_is_an_outage,
    wrong_secrets_are_denied,
    a_lasting_401_is_denied,
    a_web_page_is_unknown,
    half_an_answer_is_unknown,
    secrets_stay_secret,
)
