"""The queue of a model, on a transport in memory that answers when a test says: what leaves when, retries, limits, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from evproc.sonic_client.model_queue import ModelQueue, Policy, Server
from evproc.sonic_client.retry import SameServer
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec, arrays_of

F4 = np.dtype("f4")
MODEL = ModelMetadata("net", ("1",), "onnxruntime", 8, (TensorSpec("x", F4, ()),), (TensorSpec("y", F4, ()),))


class Call:
    """A request that waits for its answer."""

    def __init__(self, inputs: Mapping[str, Any], timeout: float, request_id: str) -> None:
        self.x = inputs["x"]
        self.timeout, self.request_id = timeout, request_id
        self.future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def answer(self) -> None:
        self.future.set_result({"y": 2 * self.x})


class Wire:
    """A transport in memory: keeps its calls, and answers them at once if it is told to."""

    url = "mem://a:1"

    def __init__(self, script: Sequence[Exception | None] | None = None) -> None:
        self.calls: list[Call] = []
        self.script = list(script or ())
        self.at_once = script is not None

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        **more: Any,
    ) -> dict[str, Any]:
        call = Call(arrays_of(inputs), **more)
        self.calls.append(call)
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
        if self.at_once:
            call.answer()
        return await call.future

    @property
    def open(self) -> list[Call]:
        return [call for call in self.calls if not call.future.done()]


def play(test: Callable[[ModelQueue, Wire], Awaitable[None]], wire: Wire | None = None, **changes: Any) -> Wire:
    """Run a test on a queue in a loop of its own; close the queue after it."""
    limit = changes.pop("in_flight", 4)
    policy = {"outputs": (), "timeout": 7.0, "tries": 3, "max_rows": 100, "max_bytes": 1 << 20, "max_wait": 60.0}
    policy |= {"coalesce": True, "retry": (SameServer(tries=2, back_off=0.0),)} | changes

    async def main(wire: Wire) -> None:
        server = Server(wire.url, wire, limit)  # type: ignore[arg-type]  # all that a queue uses of a transport
        queue = ModelQueue(MODEL, "1", [server], Policy(**policy))  # type: ignore[arg-type]
        try:
            await test(queue, wire)
        finally:
            await queue.close()
        assert queue.in_flight == server.outstanding == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    made = wire or Wire()
    asyncio.run(main(made))
    return made


def put(queue: ModelQueue, *values: float) -> asyncio.Future[Any]:
    """Submit rows; the future has a list of what comes back."""
    return queue.submit({"x": np.array(values, "f4")}, len(values), lambda outputs: outputs["y"].tolist())


async def turns(count: int = 5) -> None:
    """Let the loop do what it has to."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_rows_of_one_turn_share_a_request() -> None:
    """With nothing in flight, what is submitted in one turn of the loop leaves together."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        one, two = put(queue, 1, 2), put(queue, 3)
        assert wire.calls == []
        await turns()
        assert [call.x.tolist() for call in wire.calls] == [[1, 2, 3]]
        wire.calls[0].answer()
        assert await one == [2, 4]
        assert await two == [6]

    play(test)


def test_a_full_request_leaves_at_once() -> None:
    """max_batch_size rows do not wait for the next turn."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        future = put(queue, *range(20))
        await turns(1)
        assert [len(call.x) for call in wire.calls] == [8, 8]
        for call in reversed(wire.calls):
            call.answer()
        await turns()
        assert [len(call.x) for call in wire.open] == [4]
        wire.open[0].answer()
        assert await future == [2 * value for value in range(20)]

    play(test)


def test_rows_wait_while_a_request_is_in_flight() -> None:
    """While an answer is under way rows are collected; they leave when it has come."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        first = put(queue, 1)
        await turns()
        others = [put(queue, value) for value in (2, 3)]
        await turns()
        assert len(wire.calls) == 1
        wire.calls[0].answer()
        assert await first == [2]
        await turns()
        assert wire.calls[1].x.tolist() == [2, 3]
        wire.calls[1].answer()
        assert await asyncio.gather(*others) == [[4], [6]]

    play(test)


def test_flush_sends_what_there_is() -> None:
    """When the CPU has nothing left to do, rows do not wait for the answer under way."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        put(queue, 1)
        await turns()
        put(queue, 2)
        queue.flush()
        await turns()
        assert [call.x.tolist() for call in wire.calls] == [[1], [2]]
        put(queue, 3)
        await turns()
        assert len(wire.calls) == 2, "a flush is for what was waiting, not for what comes later"

    play(test)


def test_the_oldest_rows_wait_no_longer_than_max_wait() -> None:
    """max_wait bounds the latency that coalescing adds."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        put(queue, 1)
        await turns()
        put(queue, 2)
        while len(wire.calls) < 2:
            await turns()
        assert wire.calls[1].x.tolist() == [2]

    play(test, max_wait=0.001)


@pytest.mark.parametrize("coalesce", [True, False])
def test_no_more_requests_are_in_flight_than_allowed(coalesce: bool) -> None:
    """The limit of a server holds, also for a flush; the rest leaves as answers come, in order."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        futures = [put(queue, *range(8 * number, 8 * number + 8)) for number in range(6)]
        queue.flush()
        await turns()
        while not all(future.done() for future in futures):
            assert len(wire.open) == queue.in_flight <= 2
            wire.open[0].answer()
            await turns()
        assert [call.x[0] for call in wire.calls] == [0, 8, 16, 24, 32, 40]

    play(test, in_flight=2, coalesce=coalesce)


@pytest.mark.parametrize("error", [ServerUnavailable("gone"), DeadlineExceeded("late"), InferenceError("internal")])
def test_a_request_is_sent_again_as_often_as_allowed(error: Exception) -> None:
    """What may succeed another time is tried `tries` times, with the same rows and the policy's timeout."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        assert await put(queue, 1) == [2]

    wire = play(test, Wire([error, error, None]))
    assert [call.x.tolist() for call in wire.calls] == [[1]] * 3
    assert {call.timeout for call in wire.calls} == {7.0}
    assert {call.request_id for call in wire.calls} == {"net-1"}


def test_after_the_last_try_the_error_says_how_many() -> None:
    """All rows of the request fail, with the last error and the number of attempts; the record counts them."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        one, two = put(queue, 1), put(queue, 2)
        for future in (one, two):
            with pytest.raises(ServerUnavailable, match=r"^gone \(after 3 attempts\)$"):
                await future
        record = queue.records[wire.url]
        assert (record.requests, record.failures, record.retries) == (0, 3, 2)

    assert len(play(test, Wire([ServerUnavailable("gone")] * 3)).calls) == 3


@pytest.mark.parametrize("error", [RequestRejected("no"), ModelContractError("no"), ZeroDivisionError("bug")])
def test_what_cannot_succeed_is_not_sent_again(error: Exception) -> None:
    """A refused request, a broken contract and a bug fail at once, as they are."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        with pytest.raises(type(error)) as caught:
            await put(queue, 1)
        assert caught.value is error

    assert len(play(test, Wire([error])).calls) == 1


def test_other_requests_go_on_when_one_fails() -> None:
    """A failure ends the submissions of its request, and no others."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        large, small = put(queue, *range(12)), put(queue, 100)
        with pytest.raises(RequestRejected):
            await large
        assert await small == [200]

    play(test, Wire([RequestRejected("no"), None, None]))


def test_a_wrong_answer_is_an_error_and_not_sent_again() -> None:
    """An answer with the wrong rows, type or shape fails with a message that names server and model."""

    class Short(Wire):
        async def infer(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {"y": (await super().infer(*args, **kwargs))["y"][:-1]}

    async def test(queue: ModelQueue, wire: Wire) -> None:
        with pytest.raises(
            ModelContractError, match=r"mem://a:1, model 'net': output 'y' came with 2 rows for 3 rows sent"
        ):
            await put(queue, 1, 2, 3)

    assert len(play(test, Short([])).calls) == 1


def test_an_answer_without_an_output_is_an_error() -> None:
    """An answer that lacks an output which was asked for is a broken contract, and not a KeyError in a module."""

    class Other(Wire):
        async def infer(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {"z": (await super().infer(*args, **kwargs))["y"]}

    async def test(queue: ModelQueue, wire: Wire) -> None:
        with pytest.raises(ModelContractError, match=r"mem://a:1, model 'net': .*output 'y'"):
            await put(queue, 1)

    play(test, Other([]), outputs=("y",))


def test_an_error_in_what_is_made_of_the_outputs_fails_only_that_submission() -> None:
    """`finish` raising is the failure of its own submission."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        bad = queue.submit({"x": np.ones(1, "f4")}, 1, lambda outputs: outputs["nothing"])
        good = put(queue, 1)
        with pytest.raises(KeyError):
            await bad
        assert await good == [2]

    play(test, Wire([]))


def test_closing_cancels_what_is_under_way_and_what_waits() -> None:
    """After close nothing is pending: requests are cancelled, and so are the futures of rows that were never sent."""
    futures: list[asyncio.Future[Any]] = []

    async def test(queue: ModelQueue, wire: Wire) -> None:
        futures.extend(put(queue, *range(8)) for _ in range(3))
        futures.append(put(queue, 1))
        await turns()
        assert len(wire.open) == 2

    wire = play(test, in_flight=2)
    assert [future.cancelled() for future in futures] == [True] * 4
    assert all(call.future.cancelled() for call in wire.calls)


def test_nothing_is_taken_after_the_end() -> None:
    """Rows that are submitted to a closed queue would wait for ever: they are refused."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        await queue.close()
        with pytest.raises(RuntimeError, match=r"closed"):
            put(queue, 1)

    play(test)


def test_a_cancelled_submission_does_not_disturb_the_others() -> None:
    """Who gave up gets nothing, and the answer still goes to the others."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        gone, here = put(queue, 1), put(queue, 2)
        gone.cancel()
        await turns()
        wire.calls[0].answer()
        assert await here == [4]

    play(test)


def test_requests_go_to_the_server_with_the_fewest_under_way() -> None:
    """With several servers each has its own limit, and the least busy one is asked."""

    async def main() -> None:
        wires = [Wire(), Wire()]
        wires[1].url = "mem://b:1"
        servers = [Server(wire.url, wire, 2) for wire in wires]  # type: ignore[arg-type]
        policy = Policy((), 1.0, 1, 100, 1 << 20, 60.0, True)
        queue = ModelQueue(MODEL, "1", servers, policy)
        futures = [put(queue, *range(8)) for _ in range(5)]
        await turns()
        assert [len(wire.open) for wire in wires] == [2, 2]
        while not all(future.done() for future in futures):
            for wire in wires:
                for call in wire.open:
                    call.answer()
            await turns()
        assert {url: record.requests for url, record in queue.records.items()} == {"mem://a:1": 3, "mem://b:1": 2}
        await queue.close()

    asyncio.run(main())


def test_the_record_counts_requests_rows_and_time() -> None:
    """What was sent is counted by server."""

    async def test(queue: ModelQueue, wire: Wire) -> None:
        await put(queue, *range(20))
        record = queue.records[wire.url]
        assert (record.requests, record.rows, record.failures) == (3, 20, 0)
        assert 0 < record.quantile(0.5) <= record.quantile(0.99) <= record.total_s

    play(test, Wire([]))
