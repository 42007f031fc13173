"""One seed: a world in which everything goes wrong, then nothing does, then all is looked at.

Three phases. *Faults*: people work, workers turn, die, stand still, and every fault that the seed
has drawn happens. *Quiet*: the faults are over; the house must come to rest by itself, and the desk
settles what only people can. *Audit*: every promise is looked at.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from tieout import clock
from tieout.engine.rest import progress
from tieout.rehearsal.acting import Actor, Fate, Stage
from tieout.rehearsal.cast import Cast, Played
from tieout.rehearsal.desk import Desk
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.house import House, Intake, VirtualWorker, beat
from tieout.rehearsal.invariants import ALL
from tieout.rehearsal.invariants.base import Phase
from tieout.rehearsal.pace import LONGEST_NAP, Pace
from tieout.rehearsal.scene import Broken, Scene, Told
from tieout.rehearsal.script import Script
from tieout.rehearsal.timeline import timelines
from tieout.rehearsal.trace import Trace
from tieout.rehearsal.twins.base import HasBooks
from tieout.rehearsal.world import SeededWorld
from tieout.store.leases import LEASE_SECONDS

STARTS_AT = dt.datetime(2028, 2, 28, 22, 0, tzinfo=dt.UTC)  # a leap day is ahead
MOST_STEPS_PER_BURST = 30
MOST_QUIET_STEPS = 200
MOST_SETTLINGS = 4
THAW_SHARE = 0.2
WRONG_CLOCK_SECONDS = 20.0
REFRESH_SECONDS = 11.0  # after which periods are read anew


@dataclass
class Result:
    """What came of a seed. `broken` is empty when every promise held."""

    script: Script
    broken: list[Broken]
    trace: Trace
    changes: int = 0
    deliveries: int = 0
    ticks: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    died_at: Counter[tuple[str, str]] = field(default_factory=Counter)
    cases_left: int = 0
    timelines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of some broken keys, what happened to them."""

    @property
    def held(self) -> bool:
        return not self.broken


def rehearse(cast: Cast, script: Script) -> Result:
    """Play one seed and look at every promise."""
    world = SeededWorld(str(script.seed), STARTS_AT)
    with clock.world(world):
        trial = Trial(cast, script, world)
        try:
            return trial.play()
        finally:
            trial.close()


class Trial:
    """One seed under way."""

    def __init__(self, cast: Cast, script: Script, world: SeededWorld) -> None:
        self.cast, self.script, self.world = cast, script, world
        self.result = Result(script, [], Trace())
        self.quiet = False
        self.told: list[Told] = []
        self._dice = script.dice("house")
        self._fault_dice = {name: script.dice(f"house:{name}") for name in MENU}
        cast.wipe()
        self.sources = {system for system, _ in cast.compiled.inbound}
        self.played: Played = cast.play(script, world, self._met)
        self.stage = Stage(world, self._fate)
        self.house = House(
            cast.landscape,
            cast.compiled,
            cast.environment,
            cast.database,
            cast.runner,
            world,
            self.stage,
            self.played.lines,
        )
        self.workers = [VirtualWorker(self.house, f"worker-{n + 1}") for n in range(script.workers)]
        self.intake = Intake(self.house)
        self._pace = Pace(world, cast.database.admin, self._dice)
        world.on_sleep = lambda: beat(cast.database, self.workers)
        self.desk = Desk(
            lambda: self.house.context("operator"),
            self.played.twins,
            script.dice("desk"),
            script.rates,
            self._struck,
        )

    def close(self) -> None:
        self.quiet = True
        self.stage.end([one.actor for one in self.workers])
        for one in self.workers:
            one.close()

    def play(self) -> Result:
        self._faults()
        self._calm()
        self._look("rest")
        self._finish()
        return self.result

    # --- the phases ---

    def _faults(self) -> None:
        script = self.script
        share = max(1, script.changes // script.bursts)
        gap = script.hours * 3_600 / script.bursts
        for number in range(script.bursts):
            last = number == script.bursts - 1
            changes = script.changes - share * number if last else share
            self.result.changes += self.played.people.burst(changes)
            self.result.trace.note(self.world.true_time, "people", f"burst of {changes}")
            self._strike_twins()
            until = self.world.true_time + dt.timedelta(seconds=gap)
            self._turn_until(until, MOST_STEPS_PER_BURST)
            self.desk.work()
            self._look("during")
            if self.world.true_time < until:
                self.world.sleep((until - self.world.true_time).total_seconds())

    def _calm(self) -> None:
        self.quiet = True
        for line in self.played.lines.values():
            line.quiet = True
            line.flush()
        for twin in self.played.twins.values():
            twin.heal()
            if isinstance(twin, HasBooks):
                twin.reopen()
        for worker in self.workers:
            worker.wrong_by = dt.timedelta()
            if worker.frozen:
                worker.go_on()
            worker.errors.clear()  # what it ended of while the faults lasted is what they are for
        self.played.people.settle()
        if not self._rest():
            return
        if self.result.struck["late_commit"]:  # what a cursor has passed by, a sweep finds
            places = self.cast.landscape.environments[self.cast.environment].values()
            self.world.sleep(max(one.sweep_seconds for one in places) + 1.0)
            if not self._rest():
                return
        for _ in range(MOST_SETTLINGS):
            self.played.people.settle()
            self.desk.answer(all_yes=True)
            done = self.desk.settle()
            self.world.sleep(REFRESH_SECONDS)
            if not self._rest() or not done:
                return

    def _rest(self) -> bool:
        """Turn until nothing moves. What does not come to rest breaks a promise."""
        idle: set[str] = set()
        for _ in range(MOST_QUIET_STEPS):
            if self._deliver():
                idle.clear()
            for worker in self.workers:
                if worker.name not in idle:
                    self._step(worker)
                if worker.idle:
                    idle.add(worker.name)
            if len(idle) < len(self.workers):
                continue
            with self.cast.database.transaction() as connection:
                now = progress(connection)
                if now.at_rest and not self.played.people.post.waiting:
                    return True
            idle.clear()
            if not self._pace.left_for_others():
                self._pace.sleep(LONGEST_NAP)
        self.result.broken.append(
            Broken("P8", f"the faults are over, and work still does not come to rest: {now}")
        )
        return False

    def _turn_until(self, until: dt.datetime, most: int) -> None:
        """Workers turn in an order that the dice say, until nothing moves or time is up."""
        idle: set[str] = set()
        for _ in range(most):
            if self.world.true_time >= until:
                return
            if self._deliver():
                idle.clear()
            able = [one for one in self.workers if not one.frozen]
            frozen = [one for one in self.workers if one.frozen]
            if frozen and (not able or self._dice.random() < THAW_SHARE):
                self._thaw(self._dice.choice(frozen))
                idle.clear()
                continue
            awake = [one for one in able if one.name not in idle]
            worker = self._dice.choice(awake or able)
            self._step(worker)
            if worker.idle:
                idle.add(worker.name)
            if idle.issuperset(one.name for one in able):
                idle.clear()
                left = (until - self.world.true_time).total_seconds()
                if not self._pace.left_for_others() and not self._pace.sleep(left):
                    return

    # --- single moves ---

    def _step(self, worker: VirtualWorker) -> None:
        state = worker.go_on() if worker.frozen else worker.step()
        self.result.ticks += 1
        if not worker.idle:
            self._pace.moved = True
        if (worker.last is not None and worker.last.busy) or state != "done":
            self.result.trace.note(self.world.true_time, worker.name, state, worker.actor.stage)
        if worker.errors and self.quiet:
            self.result.broken.append(
                Broken("P8", f"a worker ends again and again: {worker.errors[-1]!r}")
            )
            worker.errors.clear()

    def _thaw(self, worker: VirtualWorker) -> None:
        if self._dice.random() < 0.7:  # long enough that somebody else has taken over
            self.world.sleep(LEASE_SECONDS + 1)
            for other in self.workers:
                if not other.frozen:
                    self._step(other)
        self._step(worker)

    def _deliver(self) -> int:
        """The post brings what is due; what is not acknowledged comes again. How many came."""
        post = self.played.people.post
        letters = post.due(all_of_them=self.quiet)
        self.result.deliveries += len(letters)
        for system, call in letters:
            received = self.intake.take(system, call)
            if received is None and not self.intake.refused:
                post.again(system, call)
                continue
            post.acknowledged(system, call)
            if received is None:
                continue
            at = self.world.true_time
            self.told.append(Told(system, call.stream, call.body, at, received))
        return len(letters)

    def _strike_twins(self) -> None:
        for system, twin in sorted(self.played.twins.items()):
            for fault in sorted(twin.strikes):
                dice = self._fault_dice[fault]
                if dice.random() < self.script.rate(fault):
                    words = twin.strike(fault, dice)
                    if words:
                        self._struck(fault, f"{system}: {words}")
        if self._fault_dice["mapping_change"].random() < self.script.rate("mapping_change"):
            self.house.landscape, self.house.compiled = self.cast.other_version(
                self.house.landscape
            )
            self._struck("mapping_change", self.house.landscape.content_hash[:12])
            for worker in self.workers:
                worker.renew()
        if self._fault_dice["clock_jump"].random() < self.script.rate("clock_jump"):
            self._wrong_clocks(self._fault_dice["clock_jump"])

    def _wrong_clocks(self, dice: random.Random) -> None:
        if dice.random() < 0.5:
            self.world.jump(dt.timedelta(seconds=dice.choice([1.0, 61.0, 3_600.0])))
        for worker in self.workers:
            seconds = dice.uniform(-WRONG_CLOCK_SECONDS, WRONG_CLOCK_SECONDS)
            worker.wrong_by = dt.timedelta(seconds=round(seconds, 3))
        self._struck("clock_jump", "clocks are wrong")

    def _fate(self, actor: Actor, point: str) -> Fate | Exception:
        """What becomes of a process at a named point."""
        if self.quiet:
            return "go"
        throw = self._fault_dice["crash"].random()
        for fault in ("crash", "zombie", "database_restart", "disk_full"):
            rate = self.script.rate(fault) / 10  # a tick reaches dozens of points
            if throw < rate:
                return self._house_fault(fault, actor, point)
            throw -= rate
        return "go"

    def _house_fault(self, fault: str, actor: Actor, point: str) -> Fate | Exception:
        if fault == "disk_full" and point != "before_commit":
            return "go"
        self._struck(fault, f"{actor.name} at {actor.stage}, {point}")
        if fault == "crash":
            self.result.died_at[actor.stage, point] += 1
            return "die"
        if fault == "zombie":
            return "freeze"
        if fault == "database_restart":
            self.cast.database.cut_sessions()
            return "go"
        return psycopg.errors.DiskFull("could not extend file: No space left on device")

    def _struck(self, fault: str, what: str) -> None:
        self.result.struck[fault] += 1
        self.result.trace.note(self.world.true_time, fault, what)

    def _met(self, system: str, method: str, path: str, word: str) -> None:
        """Somebody asked a system something; while pages are read, rows may change."""
        self.result.trace.note(self.world.true_time, system, method, path, word)
        if method == "GET" and not self.quiet and system in self.sources:
            self.played.people.between_pages()

    # --- looking ---

    def _look(self, phase: Phase) -> None:
        with self.cast.database.transaction() as connection:
            scene = Scene(
                landscape=self.cast.landscape,
                compiled=self.cast.compiled,
                connection=connection,
                twins=self.played.twins,
                deeds=self.played.people.deeds,
                told=self.told,
                phase=phase,
                struck=self.result.struck,
                runner=self.cast.runner,
            )
            for invariant in ALL.values():
                if phase in invariant.phases:
                    self.result.broken += invariant.check(scene)
            if phase == "rest" and self.result.broken:
                self.result.timelines = timelines(
                    scene, self.result.broken, self.result.trace.lines
                )

    def _finish(self) -> None:
        for line in self.played.lines.values():
            self.result.struck.update(line.met)
        self.result.struck.update(self.played.people.struck)
        self.result.reached = self.stage.reached
        with self.cast.database.transaction() as connection:
            self.result.trace.end(connection)
