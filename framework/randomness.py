"""Random numbers of an event: the same whatever is done before it, beside it, or in which block.

The problem. A generator that is drawn from in turn gives an event other numbers when another event is added before it, and
when blocks take turns. CMSSW seeds one engine per stream and module, and cannot repeat an event alone.

The policy. Philox is a generator by counter: its numbers are a function of (key, counter), so nothing is seeded and nothing
advanced. The key is a hash of the job's `seed` and the module's label; the counter, four words of 64 bits, is

    (draws, event number, run << 32 | luminosity block, instance)

so two events, or two instances of a module, share numbers only if their identities are equal: no luck is involved. Numbers
change with the seed, with the label, and with the identity of the event; with nothing else. NumPy keeps the stream of a bit
generator for good, and that of a distribution mostly (NEP 19): a new version of NumPy may change the latter.

The cost. Making a generator takes 25 us, setting the state of one 1.5 us; so each module keeps one per thread and instance.
The generator that an event gets is thus good until the module asks for the next one.

Sources: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11, for Philox 4x64-10.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .event import Columns, Event

if TYPE_CHECKING:
    from .event import EventIDs
    from .store import Store

Words = npt.NDArray[np.uint64]
Counts = npt.ArrayLike | None

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class RandomNumbers:
    """What a module has for random numbers: `self.random(event)`."""

    label: str
    _seed = 0
    _draws: Draws | None = None

    @overload
    def random(self, event: Event, instance: int = 0) -> np.random.Generator: ...
    @overload
    def random(self, event: Columns, instance: int = 0) -> ColumnsRandom: ...
    def random(self, event: Event | Columns, instance: int = 0) -> np.random.Generator | ColumnsRandom:
        """A generator for this event, or one for each event of a block; good until the next call with this `instance`.

        What it gives depends on the option `seed`, the module's label, the event's identity and `instance`, on nothing else.
        """
        draws = self._draws
        if draws is None or draws.origin != (self._seed, self.label):
            draws = self._draws = Draws(self._seed, self.label)
        if isinstance(event, Event):
            return draws.of_event(event, instance)
        return ColumnsRandom(draws, event.ids, instance)


class Draws:
    """The generators of one module."""

    def __init__(self, seed: int, label: str) -> None:
        self.origin = (seed, label)
        self.key = key_of(seed, label)
        self._local = threading.local()

    def of_event(self, event: Event, instance: int) -> np.random.Generator:
        """The generator, set to the beginning of an event's numbers."""
        local, store = self._local, event._block.store
        if getattr(local, "store", None) is not store:
            local.store = store
            local.words = _words_of(store)
        number = event._number
        events, places = local.words
        return self.at(events[number], places[number], instance)

    def at(self, event: int, place: int, instance: int) -> np.random.Generator:
        """The generator, set to the beginning of the numbers of (event number, run << 32 | luminosity block, instance)."""
        kept: dict[int, _Settable] = self._local.__dict__.setdefault("kept", {})
        settable = kept.get(instance)
        if settable is None:
            if instance < 0:
                raise ValueError(f"an instance of random numbers is a number from 0 on, not {instance}")
            settable = kept[instance] = _Settable(self.key)
        return settable.at((0, event, place, instance))


class _Settable:
    """A generator whose counter can be set."""

    __slots__ = ("_bits", "_generator", "_place", "_state")

    def __init__(self, key: tuple[int, int]) -> None:
        self._bits = np.random.Philox(key=np.array(key, np.uint64))
        self._generator = np.random.Generator(self._bits)
        self._place: dict[str, Any] = {"counter": (0, 0, 0, 0), "key": key}
        self._state: Any = {**self._bits.state, "state": self._place, "buffer": (0, 0, 0, 0)}

    def at(self, counter: tuple[int, int, int, int]) -> np.random.Generator:
        self._place["counter"] = counter
        self._bits.state = self._state
        return self._generator


class ColumnsRandom:
    """The generators of the events of a block, drawn from together, once.

    `counts` says how many numbers each event gets, (events,); the answer is then their content (rows,), event after event.
    Without it each event gets one: (events,). An event gets what `random(event)` with the same instance would give it for the
    same draw. For another draw, ask for another instance.
    """

    def __init__(self, draws: Draws, ids: EventIDs, instance: int) -> None:
        self._draws = draws
        self._ids = ids
        self._instance = instance
        self._drawn = False

    def random(self, counts: Counts = None) -> npt.NDArray[np.float64]:
        """Even between 0 and 1: the fast one, without a loop over events."""
        number = self._counts(counts)
        events, places = _words(self._ids)
        blocks = -(-number // 4)
        first = np.cumsum(blocks) - blocks
        count = np.arange(int(blocks.sum())) - np.repeat(first, blocks) + 1
        instance = np.full(len(count), self._instance, np.uint64)
        counter = [count.astype(np.uint64), np.repeat(events, blocks), np.repeat(places, blocks), instance]
        words = np.stack(philox(counter, self._draws.key), axis=1).ravel()
        wanted = np.arange(int(number.sum())) + np.repeat(4 * first - (np.cumsum(number) - number), number)
        mantissas: npt.NDArray[np.float64] = (words[wanted] >> np.uint64(11)).astype(np.float64)
        mantissas *= 2.0**-53
        return mantissas

    def uniform(self, low: float = 0.0, high: float = 1.0, counts: Counts = None) -> npt.NDArray[np.float64]:
        """Even between `low` and `high`."""
        drawn: npt.NDArray[np.float64] = low + (high - low) * self.random(counts)
        return drawn

    def normal(self, loc: float = 0.0, scale: float = 1.0, counts: Counts = None) -> npt.NDArray[np.float64]:
        """Gaussian, of mean `loc` and width `scale`."""
        return self.draw(lambda generator, size: generator.normal(loc, scale, size), counts)

    def exponential(self, scale: float = 1.0, counts: Counts = None) -> npt.NDArray[np.float64]:
        """Exponential, of mean `scale`."""
        return self.draw(lambda generator, size: generator.exponential(scale, size), counts)

    def poisson(self, mean: float = 1.0, counts: Counts = None) -> npt.NDArray[np.int64]:
        """Poisson, of mean `mean`."""
        return self.draw(lambda generator, size: generator.poisson(mean, size), counts)

    def integers(self, low: int, high: int, counts: Counts = None) -> npt.NDArray[np.int64]:
        """Integers from `low` on, below `high`."""
        return self.draw(lambda generator, size: generator.integers(low, high, size), counts)

    def draw(self, function: Callable[[np.random.Generator, int], Any], counts: Counts = None) -> npt.NDArray[Any]:
        """What `function(generator, size)` gives for each event, joined: (rows,)."""
        number = self._counts(counts).tolist()
        events, places = (words.tolist() for words in _words(self._ids))
        at, instance = self._draws.at, self._instance
        drawn = [
            function(at(event, place, instance), size)
            for event, place, size in zip(events, places, number, strict=True)
            if size
        ]
        joined: npt.NDArray[Any] = np.concatenate(drawn or [function(at(0, 0, instance), 0)])
        return joined

    def _counts(self, counts: Counts) -> npt.NDArray[np.int64]:
        """How many numbers each event gets. Raises ValueError if that is not said for each, or if this is the second draw."""
        if self._drawn:
            raise ValueError("these random numbers were drawn already; for more of them, random(columns, instance=1)")
        self._drawn = True
        if counts is None:
            return np.ones(len(self._ids), np.int64)
        number = np.asarray(counts, np.int64)
        if number.shape != (len(self._ids),) or (number < 0).any():
            raise ValueError(f"counts: ({len(self._ids)},) of 0 or more are wanted, not {number.shape}")
        return number


def key_of(seed: int, label: str) -> tuple[int, int]:
    """The key of a module's numbers: a hash of the seed and the label, the same everywhere."""
    digest = hashlib.blake2b(f"evproc {seed} {label}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _words(ids: EventIDs) -> tuple[Words, Words]:
    """(event numbers, run << 32 | luminosity block), each (events,) uint64."""
    run, lumi = ids.run.astype(np.uint64), ids.luminosity_block.astype(np.uint64)
    return ids.event.astype(np.uint64), (run << _HALF) | (lumi & _LOW)


def _words_of(store: Store) -> tuple[list[int], list[int]]:
    events, places = _words(store.ids)
    return events.tolist(), places.tolist()


def philox(counter: Sequence[Words], key: tuple[int, int]) -> list[Words]:
    """Philox 4x64-10 of many counters: four words (n,) of each give four words (n,) of random bits."""
    c0, c1, c2, c3 = counter
    keys = [np.uint64(word) for word in key]
    for turn in range(_ROUNDS):
        k0, k1 = (
            np.uint64((int(word) + turn * weyl) & 0xFFFFFFFFFFFFFFFF) for word, weyl in zip(keys, _WEYL, strict=True)
        )
        high0, low0 = _multiply(_MULTIPLIERS[0], c0)
        high1, low1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return [c0, c1, c2, c3]


def _multiply(factor: int, words: Words) -> tuple[Words, Words]:
    """The upper and the lower 64 bits of a product of 128."""
    low, high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    words_low, words_high = words & _LOW, words >> _HALF
    middle = high * words_low + ((low * words_low) >> _HALF)
    other = low * words_high + (middle & _LOW)
    return high * words_high + (middle >> _HALF) + (other >> _HALF), words * np.uint64(factor)
