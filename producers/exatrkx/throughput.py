"""How many events a second a server finds the tracks of, as one model and as an ensemble.

python -m evproc.producers.exatrkx.throughput --hits 100,300 --clients 1,4

Events are made before the clock starts, and asked for by so many clients, each of which waits for its answer before it
asks again. Both models must give the same labels. The rounds take turns, and the best of each counts: other work on the
machine makes single rounds slower, never faster.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evproc.sonic_client import EmbeddedServer
from evproc.sonic_client.transport import Transport, open_transport

from .detector import Array
from .event import make_event
from .features import hit_features, hit_order
from .training import HELD_OUT_SEED

MODELS = ("exatrkx", "exatrkx_ensemble")
TIMEOUT = 120.0
"""Of a request, s."""


def events_of(hits: int, count: int, seed: int = HELD_OUT_SEED) -> list[Array]:
    """What is sent for some events: for each (hits, 3) float32, from the origin outwards."""
    made = [make_event(hits, seed, number) for number in range(count)]
    orders = [hit_order(event.r, event.z) for event in made]
    return [
        hit_features(event.r[order], event.phi[order], event.z[order])
        for event, order in zip(made, orders, strict=True)
    ]


async def ask(transport: Transport, model: str, events: Sequence[Array], clients: int) -> tuple[float, list[Array]]:
    """Events per second, and the labels of each. Raises InferenceError."""
    labels: list[Array] = [np.empty(0, np.int64)] * len(events)
    numbers = iter(range(len(events)))

    async def client() -> None:
        for number in numbers:
            inputs = {"FEATURES": events[number]}
            labels[number] = (await transport.infer(model, "", inputs, ("LABELS",), timeout=TIMEOUT))["LABELS"]

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(events) / (time.perf_counter() - begin), labels


async def best_of(url: str, events: Sequence[Array], clients: int, rounds: int) -> list[float]:
    """The largest rate of each model, in events per second. Raises InferenceError; ValueError if their labels differ."""
    transport = open_transport(url)
    best = [0.0 for _ in MODELS]
    try:
        for _ in range(rounds):
            found = [await ask(transport, model, events, clients) for model in MODELS]
            best = [max(rate, new) for rate, (new, _) in zip(best, found, strict=True)]
            for number, (one, other) in enumerate(zip(found[0][1], found[1][1], strict=True)):
                if not np.array_equal(one, other):
                    raise ValueError(f"event {number}: the ensemble gives other labels than the model")
    finally:
        await transport.close()
    return best


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.exatrkx.throughput`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.exatrkx.throughput",
        description="Events per second: one model, and an ensemble.",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="the repository (default: %(default)s)")
    parser.add_argument(
        "--server", default="", help="a server that has the models; one is started if there is none named"
    )
    parser.add_argument("--hits", type=_numbers, default=[100, 300], help="hits of an event (default: 100,300)")
    parser.add_argument("--clients", type=_numbers, default=[1, 4], help="clients at the same time (default: 1,4)")
    parser.add_argument("--events", type=int, default=40, help="events of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="of which the best counts (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        url = chosen.server or stack.enter_context(EmbeddedServer(chosen.models, load=MODELS)).url
        print(f"| hits | clients | {' | '.join(f'`{model}`' for model in MODELS)} |\n|---|---|---|---|")  # noqa: T201
        for hits in chosen.hits:
            events = events_of(hits, chosen.events)
            for clients in chosen.clients:
                rates = asyncio.run(best_of(url, events, clients, chosen.rounds))
                print(f"| {hits} | {clients} | {' | '.join(f'{rate:.1f}' for rate in rates)} |", flush=True)  # noqa: T201


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
