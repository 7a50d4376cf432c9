"""The fake server: what it says, what it records, and every fault, through each transport."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    InternalError,
    ModelContractError,
    RequestRejected,
    ServerBusy,
    ServerUnavailable,
)
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.testing import (
    Crash,
    Delay,
    FakeModel,
    FakeProcess,
    FakeServer,
    Fault,
    HalfOpen,
    Never,
    Refuse,
    Reject,
    Saturated,
    Truncated,
    Unavailable,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
)
from evproc.sonic_client.transport import is_retryable, open_transport

SPEC = TensorSpec("x", np.dtype("f4"), (4,))
ROWS = np.arange(12, dtype="f4").reshape(3, 4)


def double(inputs: dict) -> dict:
    return {"y": 2 * inputs["x"]}


def model(**changes: object) -> FakeModel:
    return replace(FakeModel("double", [SPEC], [replace(SPEC, name="y")], double, max_batch_size=8), **changes)


def ask(transport, rows=ROWS, *, name="double", timeout=5.0, outputs=("y",), request_id=""):
    return transport.infer(name, "", {"x": rows}, outputs, timeout=timeout, request_id=request_id)


def test_it_computes_and_records(scheme, use) -> None:
    """A request is computed by the model's function, and recorded with its rows, id and fate."""
    with FakeServer([model()], keep_inputs=True) as server:
        outputs = use(server.address(scheme), lambda t: ask(t, request_id="block 7"))
        (request,) = server.requests
    assert outputs["y"].tolist() == (2 * ROWS).tolist()
    assert (request.model, request.rows, request.bytes, request.request_id) == ("double", 3, 48, "block 7")
    assert request.outcome == "answered"
    assert request.inputs["x"].tolist() == ROWS.tolist()


def test_it_describes_its_models(scheme, use) -> None:
    """Index, metadata and statistics tell of the models as they were given."""

    async def work(transport):
        await ask(transport)
        await ask(transport, ROWS[:1])
        return (
            await transport.models(5.0),
            await transport.metadata("double", "", 5.0),
            await transport.statistics("double", 5.0),
        )

    with FakeServer([model(), model(name="another")]) as server:
        models, metadata, statistics = use(server.address(scheme), work)
    assert models == ("another", "double")
    assert metadata.inputs == (SPEC,)
    assert metadata.outputs == (replace(SPEC, name="y"),)
    assert (metadata.max_batch_size, metadata.versions) == (8, ("1",))
    assert (statistics.rows, statistics.requests, statistics.failures) == (4, 2, 0)


def test_a_model_without_batch_dimension(scheme, use) -> None:
    """max_batch_size 0 means complete shapes, in the description and in requests."""
    whole = replace(SPEC, shape=(3, 4))
    fake = model(max_batch_size=0, inputs=[whole], outputs=[replace(whole, name="y")])

    async def work(transport):
        return await transport.metadata("double", "", 5.0), await ask(transport)

    with FakeServer([fake]) as server:
        metadata, outputs = use(server.address(scheme), work)
    assert metadata.inputs == (whole,)
    assert outputs["y"].shape == (3, 4)


FAULTS = [
    (Unavailable(), ServerUnavailable, r"scripted fault \[UNAVAILABLE\]", True),
    (Refuse("RESOURCE_EXHAUSTED", "too busy"), ServerBusy, "too busy", True),
    (Refuse("RESOURCE_EXHAUSTED", "received message larger than max"), RequestRejected, "larger", False),
    (Refuse("INTERNAL", "CUDA error"), InferenceError, "CUDA error", True),
    (Refuse("CANCELLED", "going down"), ServerUnavailable, "CANCELLED", True),
    (Reject("no such tensor"), RequestRejected, "no such tensor", False),
    (Saturated(), ServerBusy, "Exceeds maximum queue size", True),
    (HalfOpen(), DeadlineExceeded, r"no answer within 0\.2 s", True),
    (Never(), DeadlineExceeded, r"no answer within 0\.2 s", True),
    (Delay(30.0), DeadlineExceeded, r"no answer within 0\.2 s", True),
    (Crash(), ServerUnavailable, "UNAVAILABLE", True),
    (WrongName(), ModelContractError, r"output 'y' was asked for and did not come \(came: not_y\)", False),
    (Truncated(), ModelContractError, r"47 bytes, where shape \(3, 4\) of float32 takes 48", False),
]


@pytest.mark.parametrize(("fault", "kind", "words", "again"), FAULTS, ids=lambda value: type(value).__name__)
def test_each_fault_is_one_error_of_ours(scheme, use, fault: Fault, kind: type, words: str, again: bool) -> None:
    """Whatever fails comes out as one class of error that names server and model, and says whether to try again."""
    with FakeServer([model()], faults=[fault]) as server:
        url = server.address(scheme)
        with pytest.raises(InferenceError, match=words) as caught:
            use(url, lambda t: ask(t, timeout=0.2 if kind is DeadlineExceeded else 10.0))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{url}, model 'double': ")
    assert is_retryable(caught.value) is again
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("fault", "shape", "dtype"),
    [
        (WrongRows(2), (5, 4), "f4"),
        (WrongRows(-1), (2, 4), "f4"),
        (WrongShape(), (3, 4, 1), "f4"),
        (WrongDtype("f8"), (3, 4), "f8"),
    ],
    ids=str,
)
def test_consistent_wrong_answers_are_passed_on_as_stated(scheme, use, fault: Fault, shape: tuple, dtype: str) -> None:
    """An answer that is consistent in itself comes out as the server stated it: the layer above knows what it wanted."""
    with FakeServer([model()], faults=[fault]) as server:
        outputs = use(server.address(scheme), ask)
    assert outputs["y"].shape == shape
    assert outputs["y"].dtype == np.dtype(dtype)


def test_faults_follow_the_script(use) -> None:
    """Faults meet requests in the order of arrival; None and the end of the script mean none."""

    async def work(transport):
        fates = []
        for _ in range(4):
            try:
                await ask(transport)
                fates.append("answered")
            except InferenceError:
                fates.append("refused")
        return fates

    with FakeServer([model()], faults=[None, Unavailable(), Reject()]) as server:
        assert use(server.url, work) == ["answered", "refused", "refused", "answered"] == server.outcomes
    with FakeServer([model()], faults=lambda request: Unavailable() if request.rows == 3 else None) as server:
        assert use(server.url, work) == ["refused"] * 4


@pytest.mark.parametrize(
    ("rows", "outputs", "words"),
    [
        (ROWS[:, :2], ("y",), r"unexpected shape for input 'x'.*Expected \[-1, 4\]"),
        (ROWS.astype("f8"), ("y",), "data-type is 'FP64', but model 'double' expects 'FP32'"),
        (np.zeros((9, 4), "f4"), ("y",), "batch-size must be <= 8"),
        (ROWS, ("z",), "unexpected inference output 'z'"),
    ],
)
def test_it_refuses_what_triton_refuses(use, rows, outputs, words: str) -> None:
    """A request that does not fit the model is refused in Triton's manner."""
    with FakeServer([model()]) as server, pytest.raises(RequestRejected, match=words):
        use(server.url, lambda t: ask(t, rows, outputs=outputs))


def test_an_unknown_model_and_a_failing_function(use) -> None:
    """A model that is not there is NOT_FOUND; a function that raises is the server's INTERNAL error."""
    with FakeServer([model(function=lambda inputs: inputs["nothing"])]) as server:
        with pytest.raises(RequestRejected, match="unknown model: 'triple'"):
            use(server.url, lambda t: ask(t, name="triple"))
        with pytest.raises(InferenceError, match=r"Failed to process .* KeyError\('nothing'\)"):
            use(server.url, ask)


def test_slow_start(scheme, use) -> None:
    """It says that it is not ready as often as it was told to."""

    async def work(transport):
        return [await transport.ready(5.0) for _ in range(4)]

    with FakeServer([model()], not_ready=2) as server:
        assert use(server.address(scheme), work) == [False, False, True, True]


def test_it_comes_back_at_the_same_address(scheme, use) -> None:
    """After a crash the server is absent, and after a restart the same transport finds it again."""

    async def work(transport):
        with pytest.raises(ServerUnavailable):
            await ask(transport)
        absent = await transport.ready(1.0)
        await asyncio.to_thread(server.restart)
        deadline = time.monotonic() + 10
        while not await transport.ready(1.0):
            assert time.monotonic() < deadline
        return absent, await ask(transport)

    with FakeServer([model()], faults=[Crash()]) as server:
        absent, outputs = use(server.address(scheme), work)
        assert server.connections >= 2
    assert absent is False
    assert outputs["y"].tolist() == (2 * ROWS).tolist()


def test_latency_is_concurrent_and_compute_time_is_not(use) -> None:
    """Twenty answers of 50 ms latency take about 50 ms together; of 5 ms compute time at least 100 ms."""

    async def work(transport):
        await transport.ready(5.0)
        times = {}
        for name in ("far", "busy"):
            begin = time.perf_counter()
            await asyncio.gather(*(ask(transport, name=name) for _ in range(20)))
            times[name] = time.perf_counter() - begin
        return times

    with FakeServer([model(name="far", latency=0.05), model(name="busy", compute_time=0.005)]) as server:
        times = use(server.url, work)
        assert server.peak >= 10
    assert 0.05 <= times["far"] < 0.6
    assert times["busy"] >= 0.1


def test_cancelling_the_task_cancels_the_call(scheme, use) -> None:
    """A request whose task is cancelled is cancelled on the server too, and the task ends as cancelled."""

    async def work(transport):
        task = asyncio.create_task(ask(transport))
        await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_until, lambda s: s.outcomes == ["cancelled"])

    with FakeServer([model()], faults=[Never()]) as server:
        use(server.address(scheme), work)


def test_errors_leave_the_task_uncancelled(scheme, use) -> None:
    """After a deadline or a lost connection, the task that asked counts as not cancelled, so that its own timeouts work."""

    async def work(transport):
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(30.0):
            for _ in range(2):
                with pytest.raises(InferenceError):
                    await ask(transport, timeout=0.2)
        return task.cancelling()

    with FakeServer([model()], faults=[Never(), Crash()]) as server:
        assert use(server.address(scheme), work) == 0


def test_closing_ends_calls_under_way(scheme) -> None:
    """close() turns calls under way into ServerUnavailable, and not into a cancelled task."""

    async def main(url: str) -> None:
        transport = open_transport(url)
        task = asyncio.create_task(ask(transport, timeout=30.0))
        await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
        await transport.close()
        await transport.close()
        with pytest.raises(ServerUnavailable, match=r"CANCELLED|UNAVAILABLE"):
            await task

    with FakeServer([model()], faults=[Never()]) as server:
        asyncio.run(main(server.address(scheme)))


def test_in_the_loop_of_the_test(scheme) -> None:
    """`async with` runs it without a thread."""

    async def main() -> dict:
        async with FakeServer([model()]) as server:
            transport = open_transport(server.address(scheme))
            outputs = await ask(transport)
            await transport.close()
        return outputs

    assert asyncio.run(main())["y"].tolist() == (2 * ROWS).tolist()


def test_large_tensors(scheme, use) -> None:
    """A request and an answer of 20 MB pass: neither side limits the size of a message."""
    rows = np.random.default_rng(1).random((1, 5_000_000), "f4")
    wide = replace(SPEC, shape=(-1,))
    with FakeServer([model(inputs=[wide], outputs=[replace(wide, name="y")])]) as server:
        outputs = use(server.address(scheme), lambda t: ask(t, rows, timeout=60.0))
    assert np.array_equal(outputs["y"], 2 * rows)


def make_server() -> FakeServer:
    return FakeServer([model()])


def test_in_a_process_of_its_own(scheme, use) -> None:
    """FakeProcess serves from another process, and is gone after the block."""
    with FakeProcess(make_server) as server:
        url = server.address(scheme)
        outputs = use(url, ask)
    assert outputs["y"].tolist() == (2 * ROWS).tolist()
    assert use(url, lambda t: t.ready(1.0)) is False


def test_no_address_before_the_start() -> None:
    """Asking for the address of a server that was not started is a mistake of the test, and says so."""
    with pytest.raises(InternalError, match="before it is started"):
        FakeServer([model()]).url  # noqa: B018


def test_a_fault_with_an_unknown_status_is_refused_at_once() -> None:
    """A slip of the pen in a script is found when it is written, not as a strange answer."""
    with pytest.raises(ValueError, match="no status 'UNAVAILBLE'; did you mean 'UNAVAILABLE'"):
        Refuse("UNAVAILBLE")
