"""Random numbers of an event: the same in whatever company, as NumPy itself gives them, and different where they should be."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import Columns, EndPath, Event, Parameter, Path, Process, Producer
from evproc.framework.loading import results_hash
from evproc.framework.randomness import RandomNumbers, key_of, philox
from evproc.framework.testing import EventSource, make_columns, make_events, run_module
from evproc.framework.workflow_import import import_workflow
from tests.framework.core_toys import Look

ROOT = FilePath(__file__).resolve().parents[2]
EVENTS = 50
IDS = [(316239 + number // 20, 1 + number // 7, 10**9 + 17 * number) for number in range(EVENTS)]
COUNTS = [number * 7919 % 6 for number in range(EVENTS)]
DATA = {"x": np.arange(EVENTS), "n": np.array(COUNTS)}


class Numbers(RandomNumbers):
    """A module's random numbers, without the module."""

    def __init__(self, label: str = "smear", seed: int = 0) -> None:
        self.label, self._seed = label, seed


class Smear(Producer):
    """Some random numbers for each event, by a generator per event."""

    consumes = ("n",)
    produces = "var * float64"

    class Config(Producer.Config):
        instance: int = Parameter(0, description="of the random numbers")

    def produce(self, event: Event) -> Any:
        return self.random(event, self.config.instance).normal(10.0, 2.0, event["n"])


class SmearThreads(Smear):
    """The same in threads."""

    threaded = True


class SmearColumns(Producer):
    """The same by columns."""

    consumes = ("n",)
    produces = "var * float64"

    def produce_columns(self, columns: Columns) -> Any:
        import awkward as ak

        return ak.unflatten(self.random(columns).normal(10.0, 2.0, columns["n"]), columns["n"])


def numbers_of(
    module: Producer, *, first: int = 0, chunk: int = 1000, label: str = "smear", **options: Any
) -> list[Any]:
    """What a job makes of the events from `first` on."""
    process = Process("P", **options)
    process.source = EventSource({key: array[first:] for key, array in DATA.items()}, IDS[first:], chunk=chunk)
    setattr(process, label, module)
    process.look = Look(of=[label])
    process.path, process.end = Path(module), EndPath(process.look)
    process.run()
    return [row[1].tolist() for row in process.look.rows]


def test_they_are_numpys() -> None:
    """The generator is NumPy's own, at a counter that is the identity of the event, under a key of seed and label."""
    for event, (run, lumi, number) in zip(make_events(DATA, ids=IDS), IDS, strict=True):
        counter = np.array([0, number, run << 32 | lumi, 3], np.uint64)
        bare = np.random.Generator(np.random.Philox(key=np.array(key_of(5, "smear"), np.uint64), counter=counter))
        ours = Numbers(seed=5).random(event, 3)
        assert ours.normal(size=5).tolist() == bare.normal(size=5).tolist()
        assert ours.integers(0, 100, 3, np.uint32).tolist() == bare.integers(0, 100, 3, np.uint32).tolist()


def test_the_key_is_stable() -> None:
    """The hash of seed and label is the same in every process and version: it is written down here."""
    assert key_of(0, "smear") == (0x7369BF0D3BCE15B7, 0x5ACC33C116EA29E9)


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("kind", [Smear, SmearThreads, SmearColumns])
def test_they_do_not_depend_on_company(kind: type[Producer], block: int) -> None:
    """For any blocks, chunks, streams, threads, form of the module, and events before it, an event gets the same."""
    events = zip(make_events(DATA, ids=IDS), COUNTS, strict=True)
    expected = [Numbers().random(event).normal(10.0, 2.0, n).tolist() for event, n in events]
    variants: list[dict[str, Any]] = [{"streams": 1}, {"streams": 8, "chunk": 11}, {"first": 33}]
    for options in variants:
        made = numbers_of(kind(), block=block, **options)
        assert made == expected[options.get("first", 0) :]


def test_what_they_depend_on() -> None:
    """Seed, label and instance each give other numbers; the same seed gives the same again."""
    same = numbers_of(Smear())
    assert numbers_of(Smear()) == same
    others = [
        numbers_of(Smear(), seed=1),
        numbers_of(Smear(), label="other"),
        numbers_of(Smear(instance=1)),
        same,
    ]
    flat = [value for made in others for event in made for value in event]
    assert len(set(flat)) == len(flat), "two of them share a number"


def test_events_share_no_numbers() -> None:
    """Of 50 events that differ in one part of their identity, no two get the same number."""
    ids = [(1, 1, number) for number in range(50)] + [(1, 2 + number, 0) for number in range(50)]
    ids += [(2 + number, 1, 0) for number in range(50)]
    drawn = Numbers().random(make_columns({"x": np.arange(150)}, ids=ids)).random(np.full(150, 10))
    assert len(set(drawn.tolist())) == 1500


DRAWS: list[tuple[str, tuple[Any, ...]]] = [
    ("random", ()),
    ("uniform", (-2.0, 5.0)),
    ("normal", (1.0, 3.0)),
    ("exponential", (4.0,)),
    ("poisson", (6.5,)),
    ("integers", (0, 7)),
]


@pytest.mark.parametrize(("method", "arguments"), DRAWS)
def test_columns_give_the_same(method: str, arguments: tuple[Any, ...]) -> None:
    """Each draw of a block gives each event what its own generator gives it, bit for bit; for no event, none."""
    numbers, events = Numbers(), make_events(DATA, ids=IDS)
    one = [getattr(numbers.random(event), method)(*arguments) for event in events]
    many = [getattr(numbers.random(event), method)(*arguments, size=n) for event, n in zip(events, COUNTS, strict=True)]
    columns = make_columns(DATA, ids=IDS)
    assert getattr(numbers.random(columns), method)(*arguments).tolist() == one
    joined = getattr(numbers.random(columns), method)(*arguments, counts=COUNTS)
    assert joined.tolist() == np.concatenate(many).tolist()
    assert joined.dtype == np.concatenate(many).dtype
    nothing = getattr(numbers.random(columns), method)(*arguments, counts=np.zeros(EVENTS, int))
    assert nothing.shape == (0,)
    empty = make_columns({"x": np.arange(0)}, ids=[])
    assert getattr(numbers.random(empty), method)(*arguments).shape == (0,)


def test_philox_is_numpys() -> None:
    """The bits of the columnar generator are those of numpy.random.Philox, for large words too."""
    rng = np.random.default_rng(1)
    counters = rng.integers(1, 2**64, (20, 4), np.uint64)
    key = (2**64 - 1, 2**63 + 12345)
    ours = np.stack(philox([counters[:, place] for place in range(4)], key), axis=1)
    for counter, words in zip(counters, ours, strict=True):
        before = counter.copy()
        before[0] -= np.uint64(1)
        bits = np.random.Philox(key=np.array(key, np.uint64), counter=before)
        assert bits.random_raw(4).tolist() == words.tolist()


def test_instances_stand_side_by_side() -> None:
    """Generators of two instances can be drawn from in turn; each goes on where it was."""
    event = make_events(DATA, ids=IDS)[3]
    numbers = Numbers()
    first, second = numbers.random(event), numbers.random(event, 1)
    mixed = [first.random(), second.random(), first.random(), second.random()]
    assert [mixed[0], mixed[2]] == numbers.random(event).random(2).tolist()
    assert [mixed[1], mixed[3]] == numbers.random(event, 1).random(2).tolist()


def test_a_second_draw_of_a_block_is_refused() -> None:
    """Drawing twice from one object would not continue an event's numbers: it is an error that says what to do."""
    numbers = Numbers().random(make_columns(DATA, ids=IDS))
    numbers.random()
    with pytest.raises(ValueError, match=r"were drawn already; for more of them, random\(columns, instance=1\)"):
        numbers.normal()
    with pytest.raises(ValueError, match=r"counts: \(50,\) of 0 or more are wanted, not \(3,\)"):
        Numbers().random(make_columns(DATA, ids=IDS)).random([1, 2, 3])
    with pytest.raises(ValueError, match="from 0 on, not -1"):
        Numbers().random(make_events(DATA)[0], -1)


def test_the_seed_changes_the_hash() -> None:
    """The seed is an option that changes results, so it is in the hash of the configuration; the others are not."""
    assert results_hash(Process("P", seed=1)) != results_hash(Process("P")) == results_hash(Process("P", seed=0))
    assert results_hash(Process("P", streams=3, block=1)) == results_hash(Process("P"))


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_example_of_the_documentation(block: int) -> None:
    """The smeared jets of the documentation's two modules are the same, bit for bit."""
    file = ROOT / "docs" / "examples" / "smear.py"
    smear = import_workflow(file)
    jets = [np.array([40.0 + number] * count, np.float32) for number, count in enumerate(COUNTS)]
    made = [
        run_module(named(kind()), [{"Jet_pt": pt} for pt in jets], ids=IDS, block=block)
        for kind in (smear.SmearedPt, smear.SmearedPtColumns)
    ]
    assert [event.tolist() for event in made[0]] == [event.tolist() for event in made[1]]
    assert any((event != pt).any() for event, pt in zip(made[0], jets, strict=True))


def named(module: Any) -> Any:
    """The module under the label of the workflow."""
    module.label = "smeared"
    return module
