"""The adaptive limit, against servers that exist only as a formula, on a clock that only exists here."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from evproc.sonic_client.adaptive import AdaptiveLimit, FixedLimit, Limit

Seconds = Callable[[float], float]


def throughput(
    limit: Limit, latency: Seconds, compute: Seconds, *, instances: int = 1, jitter: float = 0.0, until: float = 10.0
) -> tuple[float, list[int]]:
    """Answers per second of a client that always has something to send, and the limit at each answer."""
    chance = random.Random(1)
    now, done = 0.0, 0
    under_way: list[tuple[float, float]] = []
    busy = [0.0] * instances
    limits = []
    while now < until:
        while len(under_way) < limit.value:
            place = min(range(instances), key=busy.__getitem__)
            travel = latency(now) * (1 + jitter * chance.random())
            begin = max(busy[place], now + travel / 2)
            busy[place] = begin + compute(now) * (1 + jitter * (chance.random() - 0.5))
            heapq.heappush(under_way, (busy[place] + travel / 2, now))
        now, began = under_way[0]
        limit.answered(began, now, 10, len(under_way))
        heapq.heappop(under_way)
        limits.append(limit.value)
        done += 1
    return done / until, limits


def always(value: float) -> Seconds:
    return lambda now: value


def then(first: float, second: float) -> Seconds:
    return lambda now: first if now < 5.0 else second


SERVERS: dict[str, tuple[Seconds, Seconds, int]] = {
    "fast": (always(0.0005), always(0.0002), 1),
    "near": (always(0.001), always(0.005), 1),
    "far and slow": (always(0.06), always(0.004), 1),
    "far": (always(0.06), always(0.001), 1),
    "suddenly slower": (always(0.02), then(0.001, 0.004), 1),
    "suddenly farther": (then(0.005, 0.04), always(0.001), 1),
    "four instances": (always(0.002), always(0.01), 4),
}


@pytest.mark.parametrize("jitter", [0.0, 0.5])
@pytest.mark.parametrize("name", SERVERS)
def test_it_comes_near_the_best_fixed_limit(name: str, jitter: float) -> None:
    """From a cold start, ten seconds have nine tenths of the throughput of the best fixed limit at least."""
    latency, compute, instances = SERVERS[name]
    best = max(
        throughput(FixedLimit(2**power), latency, compute, instances=instances, jitter=jitter)[0] for power in range(9)
    )
    found, _ = throughput(AdaptiveLimit(), latency, compute, instances=instances, jitter=jitter)
    assert found >= 0.9 * best


@pytest.mark.parametrize(
    ("name", "knee"), [("fast", 3.5), ("near", 1.2), ("far and slow", 16), ("four instances", 4.8)]
)
def test_it_does_not_queue_much_more_than_needed(name: str, knee: float) -> None:
    """In the end the limit is at most a few times the knee, which is latency over compute time for all instances."""
    latency, compute, instances = SERVERS[name]
    _, limits = throughput(AdaptiveLimit(), latency, compute, instances=instances, until=20.0)
    last = limits[len(limits) // 2 :]
    assert sum(last) / len(last) <= 3 * knee + 3


def test_it_learns_nothing_while_there_is_too_little_to_send() -> None:
    """A client that sends less than it may leaves the limit as it is."""
    limit = AdaptiveLimit(8)
    for number in range(1000):
        limit.answered(number * 1.0, number + 0.01, 10, 1)
    assert limit.value == 8


def test_a_refusal_cuts_it_once_for_all_that_were_refused_at_once() -> None:
    """A saturated server gets a third less, not a third less for each of the requests that it refused."""
    limit = AdaptiveLimit(30)
    limit.answered(0.0, 0.1, 1, 30)
    for number in range(10):
        limit.refused(1.0 + number * 0.001, 30)
    assert 20 <= limit.low < limit.high <= 26


def test_it_stays_within_its_bounds() -> None:
    """Whatever happens, the limit is not below the smallest nor above the largest."""
    limit = AdaptiveLimit(16, smallest=2, largest=64)
    for number in range(50):
        limit.refused(float(number), 5)
        assert limit.value >= 2
    _, limits = throughput(AdaptiveLimit(16, largest=64), always(1.0), always(0.0001), until=60.0)
    assert max(limits) == 64
