"""A discrete-event simulation of clients and servers: what the law leaves out, that clients meet by chance.

Each client has one CPU, one link and `streams` slots; each slot does one event after another: it computes on the CPU
of the client, whose time varies by `spread`; then the event's requests go one after another: over the client's link, through
the network (`latency`), into the queue of a server, and back. A server computes one request at a time, in the order of
arrival. Requests that go together are one. `balanced` gives each request to the server that is free first; otherwise
each client stays with one server, as a balancer of connections does. What all clients share beside the servers, the link
of these, is one more queue.

An event that has less than one request stands for the events that share one. An event with very many requests is
simulated with fewer and longer ones (at most about `MOST_STEPS` requests in all): a queue that is served in turns depends
little on the size of the pieces. Times count when the clients have done `WARM_UP` events each. The same seed gives the
same figures: random numbers are Python's own, and ties in time go by the order of their making.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from heapq import heapify, heappop, heappush
from statistics import NormalDist

from .law import PlanInputs

MOST_STEPS = 10_000
WARM_UP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What was seen of so many clients."""

    clients: int
    event_s: float
    """Time of an event in a client: clients / throughput."""
    throughput: float
    """Of all clients together, events/s."""
    use: float
    """Part of the time for which a server computes."""
    inference_s: float
    """From handing over an event's first request until its last answer is there, mean (of a group of events: all of it)."""
    queue_s: float
    """Of that, in queues of servers, mean of an event."""
    inference_p99_s: float


class _Stage(IntEnum):
    """What a slot does next."""

    EVENT = 0
    SEND = 1
    TRUNK = 2
    SERVER = 3
    BACK = 4


class _Deck:
    """CPU times relative to their mean, lognormal: cards at equal steps of probability, shuffled again and again.

    So that the mean of a few events is that of many, and what differs between runs is the order.
    """

    CARDS = 8

    def __init__(self, cards: Sequence[float], lots: random.Random) -> None:
        self._cards = list(cards)
        self._lots = lots
        self._place = len(cards)

    @classmethod
    def cards(cls, spread: float) -> list[float]:
        """A new deck, in order."""
        sigma = math.sqrt(math.log1p(spread**2))
        steps = [(number + 0.5) / cls.CARDS for number in range(cls.CARDS)]
        cards = [math.exp(sigma * NormalDist().inv_cdf(step)) for step in steps]
        return [card * cls.CARDS / sum(cards) for card in cards]

    def draw(self) -> float:
        """The next one."""
        if self._place == len(self._cards):
            self._lots.shuffle(self._cards)
            self._place = 0
        self._place += 1
        return self._cards[self._place - 1]


def simulate(
    inputs: PlanInputs,
    clients: int,
    *,
    spread: float = 0.2,
    seed: int = 1,
    events: int = 24,
    balanced: bool = True,
) -> Simulated:
    """What so many clients see, each over about `events` events, or, where requests are shared, groups of events.

    spread: standard deviation of the CPU time of an event, as a part of it (lognormal)
    """
    lots = random.Random(seed)
    group = max(1, round(1 / inputs.requests))
    wanted = 1.0 if inputs.together else max(1.0, inputs.requests * group)
    streams = round(inputs.streams)
    steps = max(1, min(round(wanted), max(4, MOST_STEPS // (clients * (events + WARM_UP)))))
    cpu = group * inputs.t_client
    link, travel = group * inputs.t_transmit / steps, group * inputs.t_travel / steps
    compute, shared_link = group * inputs.t_gpu / steps, group * inputs.t_server_link / steps
    cards = _Deck.cards(spread)
    decks = [_Deck(cards, lots) for _ in range(clients)]
    halfway = travel / 2

    cpu_free, link_free = [0.0] * clients, [0.0] * clients
    server_free, trunk_free = [0.0] * inputs.servers, 0.0
    slots = clients * streams
    left, began = [0] * slots, [0.0] * slots
    queue = [(lots.random() * inputs.t_ideal * group, slot, slot, _Stage.EVENT) for slot in range(slots)]
    heapify(queue)
    order = slots  # of making, for ties
    queued = 0.0
    done, asked = list[float](), list[float]()
    total, first = clients * (events + WARM_UP), clients * WARM_UP
    while len(done) < total:
        now, _, slot, stage = heappop(queue)
        client = slot // streams
        if stage == _Stage.BACK:
            left[slot] -= 1
            stage = _Stage.SEND if left[slot] else _Stage.EVENT
            if stage == _Stage.EVENT:
                done.append(now)
                if len(done) > first:
                    asked.append(now - began[slot])
        if stage == _Stage.EVENT:
            cpu_free[client] = then = max(now, cpu_free[client]) + cpu * decks[client].draw()
            began[slot] = then
            left[slot], stage = steps, _Stage.SEND
        elif stage == _Stage.SEND:
            link_free[client] = then = max(now, link_free[client]) + link
            then, stage = then + halfway, _Stage.TRUNK
        elif stage == _Stage.TRUNK and shared_link:
            trunk_free = then = max(now, trunk_free) + shared_link
            stage = _Stage.SERVER
        else:
            which = min(range(inputs.servers), key=server_free.__getitem__) if balanced else client % inputs.servers
            begin = max(now, server_free[which])
            server_free[which] = begin + compute
            if len(done) >= first:
                queued += begin - now
            then, stage = begin + compute + halfway, _Stage.BACK
        heappush(queue, (then, order, slot, stage))
        order += 1
    per_second = group * (total - first) / (done[-1] - done[first - 1])
    asked.sort()
    return Simulated(
        clients=clients,
        event_s=clients / per_second,
        throughput=per_second,
        use=per_second * inputs.t_gpu / inputs.servers,
        inference_s=sum(asked) / len(asked),
        queue_s=queued / ((total - first) * group),
        inference_p99_s=asked[min(len(asked) - 1, int(0.99 * len(asked)))],
    )
