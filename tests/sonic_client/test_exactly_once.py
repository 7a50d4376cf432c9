"""Whatever servers do, and in whatever order: each submission ends exactly once, with its own answer or an error.

Random jobs on a virtual clock: several servers that answer, fail, refuse, hang or answer late, as drawn for each request;
random sizes, chains, hedges and limits; some submissions are cancelled, and some jobs are closed in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerBusy,
    ServerUnavailable,
)
from evproc.framework.virtual_clock import VirtualClock
from evproc.sonic_client.adaptive import AdaptiveLimit
from evproc.sonic_client.balancing import Balancing
from evproc.sonic_client.circuit import CircuitBreaker
from evproc.sonic_client.fleet import Server, Turns
from evproc.sonic_client.hedging import Hedge
from evproc.sonic_client.model_queue import ModelQueue, Policy
from evproc.sonic_client.retry import DefaultValue, OtherServer, RetryAction, RetryBudget, SameServer, SkipEvent
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec, arrays_of

F4 = np.dtype("f4")
MODELS = [ModelMetadata(name, ("1",), "", 8, (TensorSpec("x", F4, ()),), (TensorSpec("y", F4, ()),)) for name in "ab"]
DEFAULT = -7.0
OUTCOMES = ("answer", "slow", "hang", "unavailable", "busy", "internal", "rejected", "broken", "bug", "short")
ERRORS: dict[str, Exception] = {
    "unavailable": ServerUnavailable("gone"),
    "busy": ServerBusy("too busy"),
    "internal": InferenceError("internal"),
    "rejected": RequestRejected("no"),
    "broken": ModelContractError("broken"),
    "bug": ZeroDivisionError("bug"),
}


class Wire:
    """A server in memory, with a script of outcomes, which is used round and round."""

    def __init__(self, url: str, script: Sequence[tuple[str, float]]) -> None:
        self.url, self.script = url, script
        self.calls = self.open = 0

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109
        **more: Any,
    ) -> dict[str, Any]:
        outcome, seconds = self.script[self.calls % len(self.script)]
        self.calls += 1
        self.open += 1
        try:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.sleep(1e9 if outcome == "hang" else 10 * seconds if outcome == "slow" else seconds)
            except TimeoutError:
                raise DeadlineExceeded("late") from None
            if outcome in ERRORS:
                raise ERRORS[outcome]
            return {"y": 2 * arrays_of(inputs)["x"][: -1 if outcome == "short" else None]}
        finally:
            self.open -= 1


TIMES = st.sampled_from([0.0, 0.001, 0.01, 0.3])
SCRIPTS = st.lists(st.tuples(st.sampled_from(OUTCOMES), TIMES), min_size=1, max_size=8)
CHAINS: st.SearchStrategy[tuple[RetryAction, ...] | None] = st.sampled_from(
    [
        None,
        (),
        (SameServer(tries=5),),
        (OtherServer(), SameServer(tries=1)),
        (SameServer(tries=1), OtherServer(), DefaultValue(value=DEFAULT)),
        (OtherServer(), SkipEvent(rejected=True)),
    ]
)
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 20), TIMES, st.sampled_from(["keep", "keep", "cancel", "flush"])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=3),
    chain=CHAINS,
    hedge=st.sampled_from([None, None, Hedge(after=0.005, share=1.0)]),
    balancing=st.sampled_from(list(Balancing)),
    limit=st.sampled_from([1, 2, 5, None]),
    steps=STEPS,
    close_early=st.booleans(),
    deadline=st.sampled_from([3.0, 1e6]),
)
def test_every_submission_ends_exactly_once(
    scripts: list[list[tuple[str, float]]],
    chain: tuple[RetryAction, ...] | None,
    hedge: Hedge | None,
    balancing: Balancing,
    limit: int | None,
    steps: list[tuple[int, int, float, str]],
    close_early: bool,
    deadline: float,
) -> None:
    """No future is left open or ended twice; an answer is that of its own rows; places and bytes are all given back."""

    async def main() -> None:
        wires = [Wire(f"mem://{number}:1", script) for number, script in enumerate(scripts)]
        made = [AdaptiveLimit(4) if limit is None else limit for _ in wires]
        servers = [
            Server(wire.url, wire, places, CircuitBreaker(failures=3))  # type: ignore[arg-type]  # all that is used of one
            for wire, places in zip(wires, made, strict=True)
        ]
        turns, budget = Turns(), RetryBudget(1.0, 1000)
        policy = Policy(("y",), 2.0, 3, 100, 1 << 20, 0.005, True, deadline, 5.0, (), chain, hedge)
        queues = [
            ModelQueue(model, "", list(servers), policy, turns=turns, balancing=balancing, budget=budget)
            for model in MODELS
        ]
        ends: list[int] = []
        futures: list[tuple[asyncio.Future[Any], Any]] = []
        first = 0
        for which, rows, wait, what in steps:
            x = np.arange(first, first + rows, dtype="f4")
            first += rows
            number = len(futures)
            ends.append(0)
            future = queues[which].submit({"x": x}, rows, lambda outputs: outputs["y"].copy())

            def ended(_: Any, number: int = number) -> None:
                ends[number] += 1

            future.add_done_callback(ended)
            futures.append((future, x))
            if what == "flush":
                queues[which].flush()
            await asyncio.sleep(wait)
            if what == "cancel":
                future.cancel()
        if not close_early:
            async with asyncio.timeout(1e5):
                await asyncio.wait([future for future, _ in futures])
        for queue in queues:
            await queue.close()
        await asyncio.sleep(0)
        for future, x in futures:
            if not future.cancelled() and future.exception() is None:
                y = future.result()
                assert len(y) == len(x)
                right = (y == 2 * x) | (y == DEFAULT)
                assert right.all()
        assert ends == [1] * len(futures)
        assert [queue.in_flight for queue in queues] == [0, 0]
        assert [queue.held_bytes for queue in queues] == [0, 0]
        assert [server.outstanding for server in servers] == [0] * len(servers)
        assert [wire.open for wire in wires] == [0] * len(wires)
        assert not turns.line
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=VirtualClock().loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("steps", range(6))
def test_a_job_may_close_between_any_two_steps_of_a_hedge(steps: int) -> None:
    """Places are given back also for an attempt that was cancelled before it had begun."""

    async def main() -> None:
        wires = [Wire(f"mem://{number}:1", [("hang", 0.0)]) for number in range(2)]
        servers = [Server(wire.url, wire, 4) for wire in wires]  # type: ignore[arg-type]
        hedge = Hedge(after=0.0, share=1.0)
        policy = Policy(("y",), 2.0, 3, 100, 1 << 20, 0.005, True, 1e6, 5.0, (), None, hedge)
        queue = ModelQueue(MODELS[0], "", servers, policy)
        future = queue.submit({"x": np.zeros(2, "f4")}, 2, lambda outputs: outputs["y"])
        for _ in range(steps):
            await asyncio.sleep(0)
        await queue.close()
        assert future.cancelled()
        assert [server.outstanding for server in servers] == [0, 0]
        assert [wire.open for wire in wires] == [0, 0]

    with asyncio.Runner(loop_factory=VirtualClock().loop) as runner:
        runner.run(main())
