"""What a connector's test class tells the suite, and the bench a case works on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tieout import clock
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import Fault, FaultKind, FaultPlan
from tieout.finance.outcome import Accepted, Denied, Detail, Found, Outage, Outcome, Unknown
from tieout.ports.connector import (
    Connector,
    Finds,
    Follows,
    InboundCall,
    Item,
    Job,
    Reads,
    Stream,
    Total,
    TotalAsk,
    Write,
    Writes,
)
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Response
from tieout.ports.opening import open_session
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed
from tieout.rehearsal.contract.wire import Effect, without_field

MOST_PAGES = 100
MOST_LOOKS = 60
LONGEST_WAIT_SECONDS = 0.05


@dataclass
class Bench:
    """One fresh tenant of the vendor, and an open session with it.

    `notes` is for the test class: what `prepare` learned (a parent's id) and `examples` needs.
    """

    connector: Connector
    served: Served
    session: Session
    notes: dict[str, str] = field(default_factory=dict)

    # --- faults ------------------------------------------------------------------------------

    def plant(self, kind: FaultKind, effect: Effect | None = None, *, most: int = 0) -> Fault:
        """From now on every matching call meets this fault."""
        part = effect or Effect(methods=())
        fault = Fault(kind, 1.0, part.path, part.methods, seconds=7.0, most=most)
        self.served.emulator.faults = FaultPlan(seed=1, faults=(fault,))
        return fault

    def heal(self) -> None:
        """No faults any more."""
        self.served.emulator.faults = FaultPlan()

    # --- reading -----------------------------------------------------------------------------

    def pages(self, stream: Stream, cursor: str = "") -> list[tuple[tuple[Item, ...], str]]:
        """Every page after `cursor`, each with its own cursor; at most MOST_PAGES."""
        connector = self.connector
        assert isinstance(connector, Reads)
        result: list[tuple[tuple[Item, ...], str]] = []
        for _ in range(MOST_PAGES):
            page = connector.read(self.session, stream.name, cursor)
            result.append((page.items, page.cursor))
            cursor = page.cursor
            if not page.more:
                return result
        raise AssertionError(
            f"{stream.name}: still `more` after {MOST_PAGES} pages: the cursor stands still, "
            "or the pages are too small for the rows seeded"
        )

    def rows(self, stream: Stream, cursor: str = "") -> list[Item]:
        """Every item after `cursor`."""
        return [item for items, _ in self.pages(stream, cursor) for item in items]

    # --- writing -----------------------------------------------------------------------------

    def write(self, stream: Stream, writes: Sequence[Write]) -> list[Outcome]:
        """Write, in calls of at most `most_writes_per_call`; jobs are not followed."""
        connector = self.connector
        assert isinstance(connector, Writes)
        outcomes: list[Outcome] = []
        for start in range(0, len(writes), stream.most_writes_per_call):
            part = writes[start : start + stream.most_writes_per_call]
            answered = connector.write(self.session, stream.name, part)
            assert len(answered) == len(part), (
                f"{stream.name}: {len(part)} writes got {len(answered)} outcomes; "
                "there must be one per write, in order"
            )
            outcomes.extend(answered)
        return outcomes

    def settle(self, stream: Stream, writes: Sequence[Write]) -> list[Outcome]:
        """Write and follow every job to its end."""
        return self.follow(stream, writes, self.write(stream, writes))

    def follow(
        self, stream: Stream, writes: Sequence[Write], outcomes: Sequence[Outcome]
    ) -> list[Outcome]:
        """The outcomes with every Accepted replaced by what its job came to."""
        settled = list(outcomes)
        for _ in range(MOST_LOOKS):
            waiting: dict[str, list[int]] = {}
            pause = 0.0
            for place, outcome in enumerate(settled):
                if isinstance(outcome, Accepted):
                    waiting.setdefault(outcome.handle, []).append(place)
                    pause = max(pause, outcome.look_after_seconds)
            if not waiting:
                return settled
            connector = self.connector
            assert isinstance(connector, Follows), "Accepted from a connector that cannot follow"
            clock.sleep(min(pause, LONGEST_WAIT_SECONDS))
            jobs = [Job(handle, tuple(writes[i] for i in at)) for handle, at in waiting.items()]
            answers = connector.follow(self.session, stream.name, jobs)
            assert len(answers) == len(jobs), "follow gives one list of outcomes per job"
            for places, answer in zip(waiting.values(), answers, strict=True):
                assert len(answer) == len(places), "follow gives one outcome per write of a job"
                for place, outcome in zip(places, answer, strict=True):
                    settled[place] = outcome
        raise AssertionError(f"{stream.name}: a job still runs after {MOST_LOOKS} looks")

    def find(self, stream: Stream, write: Write) -> Found | None:
        """The effect of `write` as the target shows it now."""
        connector = self.connector
        assert isinstance(connector, Finds)
        found = connector.find(self.session, stream.name, [write])
        assert set(found) == {write.write_key}, (
            f"{stream.name}: find was asked for {write.write_key} and answered for {sorted(found)}"
        )
        return found[write.write_key]

    def differences(self, stream: Stream, write: Write) -> list[str]:
        """What read-back shows otherwise than meant; empty = the proof agrees."""
        connector = self.connector
        assert isinstance(connector, Finds)
        found = self.find(stream, write)
        if found is None:
            return ["nothing is there"]
        meant = connector.meant(stream.name, write)
        differ = [
            f"{name}: meant {value!r}, shows {found.facts.get(name)!r}"
            for name, value in meant.items()
            if not same_fact(stream.facts.get(name, "text"), value, found.facts.get(name))
        ]
        return differ + ([f"pending: {found.pending}"] if found.pending else [])

    def must_show(self, stream: Stream, write: Write) -> None:
        """Read-back shows what was meant, at once or when a job in the target has ended."""
        differ = self.differences(stream, write)
        for _ in range(MOST_LOOKS):
            if not differ:
                return
            clock.sleep(LONGEST_WAIT_SECONDS)
            differ = self.differences(stream, write)
        raise AssertionError(f"{stream.name} {write.reference}: {differ}")


def same_fact(kind: str, meant: str, shown: str | None) -> bool:
    """Whether two facts agree: amounts as numbers, everything else to the letter."""
    if shown is None:
        return False
    return Decimal(meant) == Decimal(shown) if kind == "amount" else meant == shown


def failure(ask: Callable[[], object]) -> Outcome:
    """What a read came to that had to fail; any other exception is a defect and goes through."""
    try:
        answer = ask()
    except VendorFault as fault:
        return fault.outcome
    except SignInFailed as refused:
        return Denied(Detail(refused.words))
    except NoAnswer as silence:
        return (
            Outage(Detail(silence.words)) if silence.never_sent else Unknown(Detail(silence.words))
        )
    raise AssertionError(f"a read that had to fail answered {answer!r}"[:600])


class Hooks:
    """What the suite must be told about a connector. Override what your streams need.

    A hook that a generated case needs and that is not overridden fails that case and says so.
    """

    connector: Connector
    emulator: str = ""  # entry point name of the emulator
    emulator_settings: Mapping[str, str] = {}
    over_http: bool = True  # False: `tenant` is overridden, and the cases are those of a line
    token_expires: bool = True  # False: every request is signed, a 401 is final
    exact_amounts: tuple[str, ...] = ("12345678901.23", "0.30", "1234567890123456.78")
    rows_to_page: int = 7  # with `session_settings` such that this makes three pages or more
    changes: tuple[str, ...] = ()  # streams whose documents can be changed: `changed_example`
    voids: tuple[str, ...] = ()  # streams whose documents can be voided: `voided_example`

    def session_settings(self, served: Served) -> Mapping[str, str]:
        """The connector's settings for this tenant, small pages included."""
        return {"base_url": served.url}

    def session_secrets(self, served: Served) -> Mapping[str, str]:
        """The connector's secrets for this tenant, right ones."""
        raise _untold("session_secrets(served)", "the secrets that the emulator accepts")

    def prepare(self, bench: Bench) -> None:
        """Seed what every example refers to (parents); leave their ids in `bench.notes`."""

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        """`number` good writes with different references and write keys, always the same ones."""
        raise _untold(f"examples(bench, {stream!r}, number)", "good writes")

    def bad_example(self, bench: Bench, stream: str) -> Write:
        """A write that the system refuses for good (an unknown currency, a missing field)."""
        raise _untold(f"bad_example(bench, {stream!r})", "a write that the system refuses")

    def example_with_amount(self, bench: Bench, stream: str, amount: str) -> Write:
        """A good write with a fact of type amount that equals `amount`."""
        raise _untold(f"example_with_amount(bench, {stream!r}, amount)", "a write of that amount")

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        """A change of a document already written (for the streams in `changes`)."""
        raise _untold(f"changed_example(bench, {stream!r}, write)", "a change of that write")

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        """The void of a document already written (for the streams in `voids`)."""
        raise _untold(f"voided_example(bench, {stream!r}, write)", "the void of that write")

    def effect(self, stream: str) -> Effect:
        """Which HTTP calls of a write take effect: not sign-ins, uploads or searches."""
        return Effect()

    def count_documents(self, bench: Bench, stream: str) -> int:
        """How many documents of this stream the target holds."""
        return len(bench.served.emulator.tables.get(stream, {}))

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        """Make `number` further rows that share one version where it can; their source keys."""
        raise _untold(f"seed_rows(bench, {stream!r}, number)", "rows of the stream")

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        """Make one row that holds `amount` in a numeric field; its source key."""
        raise _untold(f"seed_amount(bench, {stream!r}, amount)", "a row that holds the amount")

    def missing_key(self, stream: str) -> str:
        """A well-formed source key that no row has."""
        return "999999999"

    def without_key(self, stream: Stream, response: Response) -> Response:
        """The answer to a read with the stream's key field taken away."""
        return without_field(stream.key)(response)

    def unauthorised(self) -> Response:
        """The vendor's own 401."""
        return Response(401, {"Content-Type": "application/json"}, b"{}")

    def webhook(self, bench: Bench, stream: str) -> InboundCall:
        """A genuine webhook of this stream, with the secret that proves it."""
        raise _untold(f"webhook(bench, {stream!r})", "a genuine webhook")

    def totals_example(self, bench: Bench) -> tuple[str, TotalAsk, list[Total]]:
        """Seed rows; then (stream, ask, the totals that the system must give)."""
        raise _untold("totals_example(bench)", "rows and what they total")

    @contextlib.contextmanager
    def tenant(self) -> Iterator[Served]:
        """A fresh tenant of the vendor, gone on leaving. A connector that speaks no HTTP gives its
        own kind of it: anything with `url` and `emulator`, whose `faults` it obeys."""
        with serve(self.emulator, self.emulator_settings) as served:
            yield served

    # --- made from the above -----------------------------------------------------------------

    def session_for(
        self, served: Served, secrets: Mapping[str, str] | None = None, system: str = ""
    ) -> Session:
        """A session with this tenant over real HTTP."""
        return open_session(
            system or self.connector.name,
            self.connector,
            self.session_settings(served),
            self.session_secrets(served) if secrets is None else secrets,
            self.addresses(served),
            most_in_flight=4,
            timeout_seconds=5.0,
        )

    def addresses(self, served: Served) -> Sequence[str]:
        """The URLs that the session may reach."""
        return [served.url]

    def wrong_secrets(self, served: Served) -> dict[str, str]:
        """Every secret altered."""
        return {name: f"{text[::-1]}x" for name, text in self.session_secrets(served).items()}

    @contextlib.contextmanager
    def bench(self, *, prepared: bool = False) -> Iterator[Bench]:
        """A fresh tenant, signed in."""
        with self.tenant() as served:
            bench = Bench(self.connector, served, self.session_for(served))
            try:
                health = self.connector.check(bench.session)
                assert health.well, f"check of a healthy system says: {health.words}"
                if prepared:
                    self.prepare(bench)
                yield bench
            finally:
                bench.session.close()


def _untold(hook: str, what: str) -> AssertionError:
    return AssertionError(f"the contract suite needs to be told: override {hook} to give {what}")
