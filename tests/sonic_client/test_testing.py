# ruff: noqa: ASYNC109, ASYNC110 - a deadline is part of a call; a server tells nobody that it is back
"""What the fake server can suffer and be: connections, conditions, capacity, versions, latencies, its own process."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerUnavailable,
)
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.testing import (
    Crash,
    Delay,
    FakeModel,
    FakeProcess,
    FakeServer,
    GoAway,
    HalfOpen,
    Never,
    NotFinite,
    Twice,
    Unavailable,
    chance,
    during,
    lognormal,
    with_tail,
)
from evproc.sonic_client.transport import Transport, open_transport

SPEC = TensorSpec("x", np.dtype("f4"), (4,))
ROWS = np.arange(12, dtype="f4").reshape(3, 4)
DOUBLE = (2 * ROWS).tolist()


def double(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": 2 * inputs["x"]}


MODEL = FakeModel("double", [SPEC], [replace(SPEC, name="y")], double, max_batch_size=8)


async def ask(transport: Transport, *, timeout: float = 10.0, version: str = "", model: str = "double") -> Any:
    outputs = await transport.infer(model, version, {"x": ROWS}, ("y",), timeout=timeout)
    return outputs["y"].tolist()


async def fates(transport: Transport, times: int, timeout: float = 10.0) -> list[str]:
    """The class of each of several requests, one after the other; `right` for a right answer."""
    found = []
    for _ in range(times):
        try:
            assert await ask(transport, timeout=timeout) == DOUBLE
            found.append("right")
        except InferenceError as error:
            found.append(type(error).__name__)
    return found


# Connections.


@pytest.mark.parametrize("drop", [False, True])
def test_goaway(scheme: str, use: Any, drop: bool) -> None:
    """After GOAWAY requests before it are answered (unless dropped), the one it met fails or is sent again."""

    async def work(transport: Transport) -> tuple[Any, Any, Any]:
        before = asyncio.create_task(ask(transport))
        await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
        met, first = await asyncio.gather(ask(transport), before, return_exceptions=True)
        return first, met, await ask(transport)

    model = replace(MODEL, latency=0.2)
    with FakeServer([model], faults=[None, GoAway(drop=drop)]) as server:
        first, met, after = use(server.address(scheme), work)
        assert server.connections >= 2
    assert met == DOUBLE or isinstance(met, ServerUnavailable)
    if drop or scheme == "grpclib":
        assert first == DOUBLE or isinstance(first, ServerUnavailable)
    else:
        assert first == DOUBLE
    assert after == DOUBLE


def test_all_connections_are_given_up(scheme: str, use: Any) -> None:
    """`go_away` makes clients take a new connection; a request that crosses it on the way may fail as unavailable."""

    async def work(transport: Transport) -> list[str]:
        found = await fates(transport, 1)
        await asyncio.to_thread(server.go_away)
        return [*found, *await fates(transport, 3)]

    with FakeServer([MODEL]) as server:
        found = use(server.address(scheme), work)
        assert server.connections >= 2
    assert found.count("right") >= 3
    assert set(found) <= {"right", "ServerUnavailable"}


def test_a_half_open_connection_is_silent_for_all(scheme: str) -> None:
    """Every later request on a half-open connection runs into its deadline; a new connection is served."""

    async def main() -> tuple[list[str], Any]:
        old, new = open_transport(server.address(scheme)), open_transport(server.address("grpclib"))
        try:
            return await fates(old, 2, timeout=0.2), await ask(new)
        finally:
            await old.close()
            await new.close()

    with FakeServer([MODEL], faults=[HalfOpen()]) as server:
        assert asyncio.run(main()) == (["DeadlineExceeded", "DeadlineExceeded"], DOUBLE)
        assert len(server.requests) == 2


def test_one_that_is_never_answered_harms_no_other(scheme: str, use: Any) -> None:
    """`Never` is one request's fate: others on the same connection are answered."""
    with FakeServer([MODEL], faults=[Never()]) as server:
        assert use(server.address(scheme), lambda t: fates(t, 2, timeout=0.3)) == ["DeadlineExceeded", "right"]
        assert server.connections == 1


def test_an_answer_that_comes_twice(scheme: str, use: Any) -> None:
    """A second answer to a request is an error or is dropped; it never becomes the answer of another request."""
    with FakeServer([MODEL], faults=[Twice()] * 3) as server:
        found = use(server.address(scheme), lambda t: fates(t, 6, timeout=1.0))
    assert set(found[:3]) <= {"right", "InferenceError", "DeadlineExceeded"}  # grpc.aio waits for the end of the call
    assert found[3:] == ["right"] * 3


def test_refused_before_the_start(scheme: str, use: Any) -> None:
    """`hold` gives the address before the server listens: connections are refused until then, and served after it."""
    server = FakeServer([MODEL])
    url = server.hold().replace("grpc:", f"{scheme}:")

    async def work(transport: Transport) -> list[str]:
        found = await fates(transport, 1)
        async with server:
            found += ["right"] if await until_right(lambda: ask(transport)) else []
        return found

    assert use(url, work) == ["ServerUnavailable", "right"]


async def until_right(what: Callable[[], Awaitable[Any]]) -> bool:
    """Try until it works; a channel that was refused waits before it connects again."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                return bool(await what() == DOUBLE)
            except ServerUnavailable:
                await asyncio.sleep(0)


# Conditions and scripts.


def test_a_condition_meets_every_call(scheme: str, use: Any) -> None:
    """A condition refuses health and metadata as it refuses requests, until it is changed."""

    async def work(transport: Transport) -> list[Any]:
        server.condition = Unavailable()
        found: list[Any] = [await transport.ready(5.0), *await fates(transport, 1)]
        with pytest.raises(ServerUnavailable):
            await transport.metadata("double", "", 5.0)
        server.condition = Never()
        found += [await transport.ready(0.2)]
        server.condition = None
        return [*found, await transport.ready(5.0), *await fates(transport, 1)]

    with FakeServer([MODEL]) as server:
        assert use(server.address(scheme), work) == [False, "ServerUnavailable", False, True, "right"]


def test_scripts_by_time_and_by_lot() -> None:
    """`during` is a fault for a span of time; `chance` gives each fault its share, the same for the same seed."""
    condition = during(10.0, 70.0, Unavailable())
    assert [condition(time) for time in (0.0, 9.9, 10.0, 69.9, 70.0)] == [
        None,
        None,
        Unavailable(),
        Unavailable(),
        None,
    ]

    def draws(seed: int) -> list[Any]:
        draw = chance((0.1, Unavailable()), (0.02, Crash()), seed=seed)
        return [draw(None) for _ in range(5000)]  # type: ignore[arg-type]

    assert draws(1) == draws(1) != draws(2)
    assert 400 < draws(1).count(Unavailable()) < 600
    assert 60 < draws(1).count(Crash()) < 140


def test_a_condition_by_time(use: Any) -> None:
    """A server is given its bad times when it is made."""
    with FakeServer([MODEL], condition=during(0.0, 1e9, Unavailable())) as server:
        assert use(server.url, lambda t: fates(t, 2)) == ["ServerUnavailable"] * 2


# Capacity and time.


def test_a_saturated_server_refuses_at_once(use: Any) -> None:
    """More requests than the capacity are refused, as many as are too many; the others are answered."""

    async def work(transport: Transport) -> list[Any]:
        await transport.ready(5.0)
        return await asyncio.gather(*(ask(transport) for _ in range(10)), return_exceptions=True)

    with FakeServer([replace(MODEL, latency=0.3)], capacity=4) as server:
        answers = use(server.url, work)
        assert sorted(server.outcomes) == ["answered"] * 4 + ["refused"] * 6
    assert answers.count(DOUBLE) == 4
    assert sum(isinstance(answer, ServerUnavailable) and "queue size" in str(answer) for answer in answers) == 6


def test_instances_compute_side_by_side(use: Any) -> None:
    """Eight requests of 50 ms take 0.4 s on one instance, and less than 0.35 s on four; the statistics know of the queue."""

    async def work(transport: Transport) -> tuple[float, float]:
        await transport.ready(5.0)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await asyncio.gather(*(ask(transport) for _ in range(8)))
        return loop.time() - begin, (await transport.statistics("double", 5.0)).queue

    busy = replace(MODEL, compute_time=0.05)
    with FakeServer([busy]) as one, FakeServer([busy], instances=4) as four:
        (long, waited), (short, waited_less) = use(one.url, work), use(four.url, work)
    assert long >= 0.4
    assert short < 0.35
    assert waited > 2 * waited_less


def test_latencies_are_drawn() -> None:
    """`lognormal` and `with_tail` have the medians and tails that they are given."""
    lots = random.Random(3)
    draw = lognormal(0.01, 0.1)
    times = sorted(draw(lots) for _ in range(20_000))
    assert statistics.median(times) == pytest.approx(0.01, rel=0.05)
    assert times[int(0.99 * len(times))] == pytest.approx(0.1, rel=0.15)
    tail = with_tail(0.01, 0.05, 1.0)
    assert 800 < sum(tail(lots) == 1.0 for _ in range(20_000)) < 1200


def test_a_drawn_latency_delays_the_answer(use: Any) -> None:
    """A model's latency may be a distribution."""
    with FakeServer([replace(MODEL, latency=with_tail(0.0, 1.0, 5.0))]) as server:
        assert use(server.url, lambda t: fates(t, 1, timeout=0.2)) == ["DeadlineExceeded"]


# Models.


def test_answers_that_are_not_finite(scheme: str, use: Any) -> None:
    """`NotFinite` puts one NaN into an answer that is right otherwise."""

    async def work(transport: Transport) -> Any:
        return (await transport.infer("double", "", {"x": ROWS}, ("y",), timeout=10.0))["y"]

    with FakeServer([MODEL], faults=[NotFinite()]) as server:
        y = use(server.address(scheme), work)
    assert np.isnan(y).sum() == 1
    assert np.isnan(y[-1, -1])


def test_another_version_after_a_restart(use: Any) -> None:
    """A server that comes back with another version answers for that one only."""
    other = replace(MODEL, version="2", function=lambda inputs: {"y": 3 * inputs["x"]})

    async def work(transport: Transport) -> list[Any]:
        found = [(await transport.metadata("double", "", 5.0)).versions, await ask(transport, version="1")]
        await asyncio.to_thread(server.crash)
        await asyncio.to_thread(server.restart, [other])
        assert await until_right(lambda: again(transport))
        found += [(await transport.metadata("double", "", 5.0)).versions, await ask(transport, version="2")]
        with pytest.raises(RequestRejected, match="version 1 is not found"):
            await ask(transport, version="1")
        return found

    async def again(transport: Transport) -> Any:
        await transport.models(5.0)
        return DOUBLE

    with FakeServer([MODEL]) as server:
        assert use(server.url, work) == [("1",), DOUBLE, ("2",), (3 * ROWS).tolist()]


def test_models_that_are_not_loaded(use: Any) -> None:
    """A model that is not loaded is not ready, and is no model that the server has."""

    async def work(transport: Transport) -> Any:
        with pytest.raises(InferenceError, match="no available versions"):
            await ask(transport, model="later")
        return await transport.models(5.0)

    with FakeServer([MODEL, replace(MODEL, name="later", loaded=False)]) as server:
        assert use(server.url, work) == ("double",)


def test_deadline_and_headers_are_kept(scheme: str, use: Any) -> None:
    """The server records what time the client gave it, and the headers that came."""
    with FakeServer([MODEL]) as server:
        use(server.address(scheme), lambda t: ask(t, timeout=7.0))
        (request,) = server.requests
    assert request.deadline is not None
    assert 0 < request.deadline <= 7.0
    assert "user-agent" in request.headers or request.headers == {}


# A process of its own.


def make() -> FakeServer:
    return FakeServer([MODEL])


def make_triple() -> FakeServer:
    return FakeServer([replace(MODEL, version="2", function=triple)])


def triple(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": 3 * inputs["x"]}


def test_a_process_is_killed_and_comes_back(scheme: str, use: Any) -> None:
    """After `kill` connections are refused, after `restart` the same address answers, with other models if asked."""

    async def work(transport: Transport) -> list[Any]:
        found = await fates(transport, 1)
        await asyncio.to_thread(server.kill)
        found += await fates(transport, 1)
        await asyncio.to_thread(server.restart, make_triple)
        async with asyncio.timeout(20.0):
            while not await transport.ready(1.0):
                await asyncio.sleep(0)
        return [*found, await ask(transport)]

    with FakeProcess(make) as server:
        found = use(server.address(scheme), work)
    assert found == ["right", "ServerUnavailable", (3 * ROWS).tolist()]


def test_a_process_is_stopped_and_goes_on(scheme: str, use: Any) -> None:
    """After `pause` nothing is answered, and after `resume` all is."""

    async def work(transport: Transport) -> list[str]:
        found = await fates(transport, 1)
        server.pause()
        found += await fates(transport, 1, timeout=0.3)
        server.resume()
        return [*found, *await fates(transport, 1)]

    with FakeProcess(make) as server:
        assert use(server.address(scheme), work) == ["right", "DeadlineExceeded", "right"]
        assert server.outcomes[0] == server.outcomes[-1] == "answered"


def test_a_process_is_told_its_condition(use: Any) -> None:
    """`condition` is that of the server in the other process."""

    async def work(transport: Transport) -> list[str]:
        server.condition = Unavailable()
        found = await fates(transport, 1)
        assert server.condition == Unavailable()
        server.condition = None
        return [*found, *await fates(transport, 1)]

    with FakeProcess(make) as server:
        assert use(server.url, work) == ["ServerUnavailable", "right"]


def test_a_stopped_process_ends_with_the_block() -> None:
    """A process that is stopped is ended all the same."""
    with FakeProcess(make) as server:
        server.pause()
        pid = server.pid
    import psutil

    assert not psutil.pid_exists(pid)


def test_delay_and_error_classes_are_what_the_client_sees(use: Any) -> None:
    """A late answer is right; a wrong one is told apart from one that did not come."""
    with FakeServer([MODEL], faults=[Delay(0.05)]) as server:
        assert use(server.url, lambda t: fates(t, 1)) == ["right"]
    assert not issubclass(DeadlineExceeded, ModelContractError)
