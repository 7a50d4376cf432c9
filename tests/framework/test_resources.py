"""How many calls of a module run at once, and of several modules: limits and resources."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework import Analyzer, ConfigurationError, EndPath, Event, ExternalProducer, Path, Process, Producer
from evproc.framework.resources import Resources
from tests.framework.core_toys import Look, numbers


class Meter:
    """Counts who is inside at once. With `expects`, those inside wait until that many are."""

    def __init__(self, expects: int = 1) -> None:
        self.lock = threading.Lock()
        self.inside = self.most = 0
        self.met = threading.Barrier(expects) if expects > 1 else None

    def call(self, value: Any) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        if self.met is not None:
            self.met.wait(timeout=20)
        hashlib.sha256(bytes(200_000))  # leaves Python, so that others may come in
        with self.lock:
            self.inside -= 1
        return value


class Threaded(Producer):
    """Passes its input through a meter, in a thread."""

    consumes = ("x",)
    produces = "int64"
    threaded = True

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self.meter = meter or Meter()

    def produce(self, event: Event) -> Any:
        return self.meter.call(event["x"])


class AtMostTwo(Threaded):
    """Two at once."""

    threaded = 2


class AtMostOne(Threaded):
    """One at once."""

    threaded = 1


class Shares(Threaded):
    """In a thread, with a resource."""

    resources: ClassVar[tuple[str, ...]] = ("geant",)


class SharesTwo(Threaded):
    """In a thread, with two."""

    resources: ClassVar[tuple[str, ...]] = ("cern", "geant")


class SharesInTheLoop(Producer):
    """Without a thread, with the same resource."""

    consumes = ("x",)
    produces = "int64"
    resources = ("geant",)

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self.meter = meter or Meter()

    def produce(self, event: Event) -> Any:
        return self.meter.call(event["x"])


class LooksInThread(Analyzer):
    """An analyzer in a thread, with the same resource."""

    consumes = ("x",)
    threaded = True
    resources = ("geant",)

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self.meter = meter or Meter()
        self.seen: list[int] = []

    def analyze(self, event: Event) -> None:
        self.seen.append(self.meter.call(int(event["x"])))


class LimitedWork(ExternalProducer):
    """External work in threads, two at once."""

    consumes = ("x",)
    produces = "int64"
    threaded = 2

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        self.meter = meter or Meter()

    def acquire(self, event: Event) -> Any:
        return self.in_thread(self.meter.call, int(event["x"]))

    def produce(self, event: Event, result: int) -> int:
        return result


def job(*modules: Any, events: int = 12, **options: Any) -> list[int]:
    """Run some modules on a path each, in blocks of one event; returns what an analyzer sees of the first."""
    process = Process("P", **{"block": 1, "streams": 8, "threads": 8, **options})
    process.source = numbers(events)
    for number, module in enumerate(modules):
        setattr(process, f"m{number}", module)
        setattr(process, f"p{number}", Path(module))
    producers = [
        f"m{number}" for number, module in enumerate(modules) if isinstance(module, Producer | ExternalProducer)
    ]
    process.look = Look(of=producers or ["x"])
    process.end = EndPath(process.look)
    process.run()
    assert [row[0] for row in process.look.rows] == list(range(events))
    return [int(row[1]) for row in process.look.rows]


def test_without_a_limit_many_run_at_once() -> None:
    """`threaded = True` has no limit but that of the pool: four blocks meet inside."""
    meter = Meter(expects=4)
    assert job(Threaded(meter)) == list(range(12))
    assert meter.most >= 4


def test_a_limit_of_two() -> None:
    """`threaded = 2` lets two blocks meet inside, and never three."""
    meter = Meter(expects=2)
    assert job(AtMostTwo(meter)) == list(range(12))
    assert meter.most == 2


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_limit_of_one(block: int) -> None:
    """`threaded = 1` runs one at a time, and is not taken for True."""
    meter = Meter()
    assert job(AtMostOne(meter), events=40, block=block) == list(range(40))
    assert meter.most == 1


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_shared_resource(block: int) -> None:
    """Of all modules that name a resource one is at work: threads, the loop, and the tail."""
    meter = Meter()
    looks = LooksInThread(meter)
    modules = (Shares(meter), SharesTwo(meter), SharesInTheLoop(meter), Shares(meter), looks)
    assert job(*modules, events=60, block=block) == list(range(60))
    assert meter.most == 1
    assert looks.seen == list(range(60))


def test_calls_of_external_work_are_limited() -> None:
    """A number in `threaded` of a module with external work limits its calls of in_thread."""
    meter = Meter(expects=2)
    assert job(LimitedWork(meter), block=12) == list(range(12))
    assert meter.most == 2


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"threaded": 0}, "Wrong.threaded is True, False, or how many calls may run at once, not 0"),
        ({"threaded": "two"}, "Wrong.threaded is True, False, or how many calls may run at once, not 'two'"),
        ({"resources": "geant"}, r"Wrong.resources is a tuple of names, as \('geant',\), not 'geant'"),
    ],
)
def test_wrong_declarations(attributes: dict[str, Any], message: str) -> None:
    """A limit that is none, and names that are no tuple, are faults."""
    wrong = type("Wrong", (Threaded,), attributes)
    with pytest.raises(ConfigurationError, match=message):
        job(wrong())


def test_external_work_cannot_hold_resources() -> None:
    """A module with external work that names a resource is a fault that says what to do."""
    wrong = type("Wrong", (LimitedWork,), {"resources": ("geant",)})
    with pytest.raises(ConfigurationError, match=r"it cannot hold resources \(geant\); use them in a module with"):
        job(wrong())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_resources_come_to_no_standstill(data: st.DataObject) -> None:
    """For any needs and any order of ends, everybody gets what they need, and no place is given twice."""
    places = {"a": 1, "b": 1, "c": 2}
    resources = Resources(places)
    needs = data.draw(st.lists(st.sets(st.sampled_from("abc"), min_size=1).map(sorted), max_size=12))
    ready, inside, done = list(range(len(needs))), [], 0
    while done < len(needs):
        assert ready or inside, "all wait"
        if ready and (not inside or data.draw(st.booleans())):
            holder = ready.pop(data.draw(st.integers(0, len(ready) - 1)))
            if resources.take(holder, needs[holder]):
                inside.append(holder)
        else:
            holder = inside.pop(data.draw(st.integers(0, len(inside) - 1)))
            done += 1
            ready += [number for number in resources.give(holder) if number not in ready]
        for name, limit in places.items():
            assert sum(name in needs[holder] for holder in inside) <= limit
