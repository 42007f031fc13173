"""The suite that every connector inherits: it runs the connector against its emulator over HTTP.

    class TestAbacus(ConnectorContract):
        connector = CONNECTOR
        emulator = "abacus"
        ...

Subclass it in a test file, give `connector` and `emulator`, override the hooks that your streams
need (`tieout.rehearsal.contract.bench.Hooks`), run pytest. The cases that apply are made when the
class is: per stream, by what the stream and the connector's protocols offer. A capability that is
not offered has no case, so nothing is ever skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tieout.ports.connector import Follows, GivesTotals, HasPeriods, Stream, Sweeps
from tieout.rehearsal.contract import describing, failing, reading, receiving, writing
from tieout.rehearsal.contract.bench import Bench, Hooks
from tieout.rehearsal.contract.wire import Effect

StreamCase = Callable[[Hooks, Stream], None]
ConnectorCase = Callable[[Hooks], None]


class ConnectorContract(Hooks):
    """Inherit this. pytest collects `test_<case>` and `test_<case>__<stream>`."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "connector" not in vars(cls):
            return
        for case in connector_cases(cls):
            _add(cls, f"test_{case.__name__}", _connector_method(case))
        for stream in cls.connector.streams.values():
            for stream_case in stream_cases(cls, stream):
                _add(
                    cls, f"test_{stream_case.__name__}__{stream.name}", _method(stream_case, stream)
                )


def connector_cases(hooks: type[Hooks]) -> Iterator[ConnectorCase]:
    """The cases that concern the connector as a whole."""
    yield describing.describes_itself
    yield describing.error_table_helps
    yield describing.check_is_well
    if hooks.connector.secrets or hooks.over_http:
        yield describing.check_with_wrong_secrets_says_what_to_do
    yield describing.check_of_a_system_that_is_down_says_what_to_do
    yield describing.keeps_nothing
    yield describing.sessions_do_not_meet
    if isinstance(hooks.connector, Follows):
        yield writing.jobs_are_followed_to_the_end
    if isinstance(hooks.connector, HasPeriods):
        yield describing.periods_are_whole
    if isinstance(hooks.connector, GivesTotals):
        yield describing.totals_are_exact


def stream_cases(hooks: type[Hooks], stream: Stream) -> Iterator[StreamCase]:
    """The cases that apply to this stream of this connector."""
    yield describing.is_described
    if not hooks.over_http:
        yield from line_cases(hooks, stream)
        return
    if stream.reads:
        yield from map(_named("read_"), reading.CASES)
        if isinstance(hooks.connector, Sweeps):
            yield _named("read_")(reading.a_sweep_meets_every_row)
        if reading.has_numbers(stream.fields):
            yield _named("read_")(reading.numbers_are_exact)
    if stream.receives:
        yield from receiving.CASES
    if stream.writes:
        yield from map(_named("write_"), (*writing.CASES, *failing.CASES))
        if stream.idempotency is not None and stream.idempotency.grade == "A":
            yield from map(_named("write_"), writing.CASES_OF_GRADE_A)
        if hooks.token_expires:
            yield _named("write_")(failing.an_expired_token_is_renewed_once)
        yield from _by_example(hooks, stream)


def line_cases(hooks: type[Hooks], stream: Stream) -> Iterator[StreamCase]:
    """The cases of a connector that speaks no HTTP: all that do not alter an HTTP answer. A fault
    is planted like any other, and the tenant obeys it."""
    secret = bool(hooks.connector.secrets)
    if stream.reads:
        yield from map(_named("read_"), reading.CASES_OVER_A_LINE)
        if reading.has_numbers(stream.fields):
            yield _named("read_")(reading.numbers_are_exact)
        if secret:
            yield _named("read_")(reading.wrong_secrets_are_denied)
    if stream.writes:
        both = (*writing.CASES_OVER_A_LINE, *failing.CASES_OVER_A_LINE)
        yield from map(_named("write_"), both)
        if secret:
            yield from map(_named("write_"), failing.CASES_WITH_SECRETS)
        if stream.idempotency is not None and stream.idempotency.grade == "A":
            yield from map(_named("write_"), writing.CASES_OF_GRADE_A_OVER_A_LINE)
        yield from _by_example(hooks, stream)


def _by_example(hooks: type[Hooks], stream: Stream) -> Iterator[StreamCase]:
    """The cases for which the hooks say that they have an example."""
    if "amount" in stream.facts.values():
        yield _named("write_")(writing.amounts_are_exact)
    if stream.name in hooks.changes:
        yield _named("write_")(writing.a_change_is_read_back)
    if stream.name in hooks.voids:
        yield _named("write_")(writing.a_void_is_read_back)


def _named(prefix: str) -> Callable[[StreamCase], StreamCase]:
    def name(case: StreamCase) -> StreamCase:
        def run(hooks: Hooks, stream: Stream) -> None:
            case(hooks, stream)

        run.__name__ = prefix + case.__name__
        run.__doc__ = case.__doc__
        return run

    return name


def _connector_method(case: ConnectorCase) -> Callable[[ConnectorContract], None]:
    def test(self: ConnectorContract) -> None:
        case(self)

    test.__doc__ = case.__doc__
    return test


def _method(case: StreamCase, stream: Stream) -> Callable[[ConnectorContract], None]:
    def test(self: ConnectorContract) -> None:
        case(self, stream)

    test.__doc__ = case.__doc__
    return test


def _add(cls: type[ConnectorContract], name: str, method: Callable[..., None]) -> None:
    method.__name__ = name
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    setattr(cls, name, method)


__all__ = ["Bench", "ConnectorContract", "Effect", "connector_cases", "stream_cases"]
