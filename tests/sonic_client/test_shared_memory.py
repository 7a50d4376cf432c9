"""Tensors through shared memory: same answers as through the socket, nothing left behind, and a way back to the socket."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from evproc.framework.errors import RequestRejected
from evproc.sonic_client import shared_memory
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.grpc_transport import GrpcTransport
from evproc.sonic_client.shared_memory import FOLDER, SharedMemoryTransport
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.transport import Transport, open_transport


def rows_of(count: int) -> np.ndarray:
    """(count, 16) float32."""
    return np.random.default_rng(count).normal(size=(count, 16)).astype("f4")


def ours() -> list[Path]:
    """Regions of this process that have a name."""
    return list(FOLDER.glob(f"evproc-{os.getpid()}-*"))


def regions(transport: Transport) -> list[shared_memory.Region]:
    """The regions that wait to be used again."""
    assert isinstance(transport, SharedMemoryTransport)
    return transport._spare


def test_only_grpc_to_this_machine_uses_it() -> None:
    """The default for a server on this machine; not for others, not for grpclib, and not where it is switched off."""
    assert isinstance(open_transport("grpc://127.0.0.1:8001"), SharedMemoryTransport)
    assert type(open_transport("grpc://127.0.0.1:8001", shared_memory=False)) is GrpcTransport
    assert type(open_transport("grpc://gpu1.example.org:8001")) is GrpcTransport
    assert not isinstance(open_transport("grpclib://127.0.0.1:8001"), SharedMemoryTransport)


def test_answers_are_those_of_the_socket(triton, use) -> None:
    """Whatever the size, in turn and at once, answers are bit for bit the same; regions are used again and have no name."""
    sizes = (1, 700, 3000, 1500, 4096)

    async def work(transport: Transport) -> list[np.ndarray]:
        answers = [await transport.infer("mlp", "", {"x": rows_of(n)}, ["y"], timeout=20.0) for n in sizes]
        answers += await asyncio.gather(
            *(transport.infer("mlp", "", {"x": rows_of(n)}, [], timeout=20.0) for n in sizes)
        )
        if isinstance(transport, SharedMemoryTransport):
            assert not transport.refused
            assert 1 <= len(regions(transport)) <= len(sizes)
            assert not ours()
        return [answer["y"] for answer in answers]

    shared = use(triton.url, work)
    plain = use(triton.url.replace("grpc:", "grpclib:"), work)
    assert all(np.array_equal(a, b) for a, b in zip(shared, plain, strict=True))
    assert len(shared) == 2 * len(sizes)


def test_several_tensors_share_a_region(triton, use) -> None:
    """Each tensor of a request has its place, whatever its type and size."""
    kinds = {"INT8": "i1", "FP64": "f8", "BOOL": "?", "UINT16": "u2"}
    rows = 2001
    inputs = {f"in_{word}": (np.arange(rows * 3) % 2).reshape(rows, 3).astype(kind) for word, kind in kinds.items()}
    others = {
        word: np.zeros((rows, 3), kind)
        for word, kind in {
            "UINT8": "u1",
            "UINT32": "u4",
            "UINT64": "u8",
            "INT16": "i2",
            "INT32": "i4",
            "INT64": "i8",
            "FP16": "f2",
            "FP32": "f4",
        }.items()
    }
    inputs |= {f"in_{word}": array for word, array in others.items()}

    async def work(transport: Transport) -> dict[str, np.ndarray]:
        answer = await transport.infer("every_type", "", inputs, [], timeout=20.0)
        assert len(regions(transport)) == 1
        return answer

    answer = use(triton.url, work)
    for word in kinds:
        assert np.array_equal(answer[f"out_{word}"], inputs[f"in_{word}"])


def test_a_refused_request_retires_its_region(triton, use) -> None:
    """The server's words come as through the socket; the region is not used again, and the next request works."""

    async def work(transport: Transport) -> None:
        with pytest.raises(RequestRejected, match="unexpected inference input 'z'"):
            await transport.infer("mlp", "", {"z": rows_of(4000)}, ["y"], timeout=20.0)
        assert not regions(transport)
        await transport.infer("mlp", "", {"x": rows_of(4000)}, ["y"], timeout=20.0)
        assert len(regions(transport)) == 1

    use(triton.url, work)


def test_a_server_that_has_forgotten_the_regions(triton, use) -> None:
    """A server that was started anew under the address answers too: by the socket, and the next is shared."""

    async def work(transport: Transport) -> None:
        x = rows_of(4000)
        before = await transport.infer("mlp", "", {"x": x}, ["y"], timeout=20.0)
        (region,) = regions(transport)
        messages = shared_memory.messages
        request = messages.SystemSharedMemoryUnregisterRequest(name=region.name).SerializeToString()
        assert isinstance(transport, SharedMemoryTransport)
        await transport._call("SystemSharedMemoryUnregister", request, 5.0)
        for _ in range(2):
            again = await transport.infer("mlp", "", {"x": x}, ["y"], timeout=20.0)
            assert np.array_equal(again["y"], before["y"])
        assert regions(transport) != [region]
        assert not transport.refused

    use(triton.url, work)


def test_a_server_without_shared_memory(use) -> None:
    """Where the server refuses, everything goes through the socket, and no name is left."""
    spec = TensorSpec("x", np.dtype("f4"), (16,))
    with FakeServer([FakeModel("same", [spec], [spec], lambda inputs: inputs, max_batch_size=4096)]) as server:

        async def work(transport: Transport) -> None:
            x = rows_of(4000)
            answer = await transport.infer("same", "", {"x": x}, [], timeout=20.0)
            assert np.array_equal(next(iter(answer.values())), x)
            assert isinstance(transport, SharedMemoryTransport)
            assert "UNIMPLEMENTED" in transport.refused
            assert not ours()

        use(server.url.replace("grpclib:", "grpc:"), work)


def test_no_room_for_a_region(triton, use, monkeypatch) -> None:
    """Where the kernel has no memory to share, the request goes through the socket."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)

    async def work(transport: Transport) -> None:
        answer = await transport.infer("mlp", "", {"x": rows_of(4000)}, ["y"], timeout=20.0)
        assert answer["y"].shape == (4000, 4)
        assert isinstance(transport, SharedMemoryTransport)
        assert transport.refused == "no shared memory: No space left on device"
        assert not ours()

    use(triton.url, work)


def test_outputs_come_through_shared_memory(triton, use, monkeypatch) -> None:
    """From the second request on, large outputs lie in the region: the answer carries no bytes, and its values are right."""
    answers: list[int] = []
    read = shared_memory.kserve.infer_answer

    def spy(data: bytes, *rest: object) -> dict[str, np.ndarray]:
        answers.append(len(data))
        return read(data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shared_memory.kserve, "infer_answer", spy)

    async def work(transport: Transport) -> None:
        for count in (1000, 1000, 3000, 4096):
            rows = rows_of(count)
            answer = await transport.infer("identity", "", {"x": rows}, ["y"], timeout=20.0)
            assert answer["y"].tobytes() == rows.tobytes()

    use(triton.url, work)
    assert answers[0] > 64000
    assert max(answers[1:]) < 200


@pytest.mark.parametrize("spoil", ["larger", "smaller"])
def test_outputs_of_another_size_come_by_the_socket(triton, use, monkeypatch, spoil: str) -> None:
    """A place that is too small, or not filled, is never read: the request goes again, and no place is offered any more."""
    known = shared_memory.OutputSizes.of

    def wrong(self: shared_memory.OutputSizes, key: object, rows: int) -> dict[str, int] | None:
        sizes = known(self, key, rows)  # type: ignore[arg-type]
        return sizes and {name: size + 64 if spoil == "smaller" else size - 64 for name, size in sizes.items()}

    monkeypatch.setattr(shared_memory.OutputSizes, "of", wrong)

    async def work(transport: Transport) -> None:
        assert isinstance(transport, SharedMemoryTransport)
        for _ in range(3):
            rows = rows_of(2000)
            answer = await transport.infer("identity", "", {"x": rows}, ["y"], timeout=20.0)
            assert answer["y"].tobytes() == rows.tobytes()
        assert transport._sizes.of(("identity", "", ("y",)), 5) is None
        assert len(transport._retired) == 1

    use(triton.url, work)
