"""Tensors through a GPU's memory, on machines that have none: with a stand-in for the functions that reserve and copy it.

The stand-in's memory is system shared memory, which a real Triton can map. What is not tested here is CUDA itself.
"""

from __future__ import annotations

import base64
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import ConfigurationError
from evproc.sonic_client import InferenceService
from evproc.sonic_client.cuda_memory import CudaRegion, CudaSharedMemoryTransport
from evproc.sonic_client.shared_memory import Region, SharedMemoryTransport
from evproc.sonic_client.transport import Transport, open_transport

MODULE = "tritonclient.utils.cuda_shared_memory"


class Memory(ModuleType):
    """What tritonclient offers for the memory of GPUs, with one GPU, number 0."""

    def __init__(self) -> None:
        super().__init__(MODULE)
        self.regions: list[Region] = []
        self.copies: list[str] = []

    def create_shared_memory_region(self, name: str, size: int, device: int) -> Region:
        """Reserve it."""
        if device:
            raise RuntimeError("invalid device ordinal")
        self.regions.append(Region(size))
        return self.regions[-1]

    def get_raw_handle(self, region: Region) -> bytes:
        """As the package does: base64."""
        return base64.b64encode(region.name.encode())

    def set_shared_memory_region(self, region: Region, arrays: list[np.ndarray[Any, Any]]) -> None:
        """Copy there."""
        self.copies.append("there")
        place = 0
        for array in arrays:
            region.write(place, array.tobytes())
            place += array.nbytes

    def get_contents_as_numpy(self, region: Region, dtype: Any, shape: list[int]) -> np.ndarray[Any, Any]:
        """Copy back."""
        self.copies.append("back")
        return np.frombuffer(region.view(0, int(np.prod(shape))), dtype).reshape(shape).copy()

    def destroy_shared_memory_region(self, region: Region) -> None:
        """Give it back."""
        self.regions.remove(region)
        region.close()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """The stand-in, in the place of tritonclient's module."""
    stand_in = Memory()
    monkeypatch.setitem(sys.modules, MODULE, stand_in)
    return stand_in


def rows_of(count: int) -> np.ndarray[Any, Any]:
    """(count, 16) float32."""
    return np.random.default_rng(count).normal(size=(count, 16)).astype("f4")


def cuda(url: str) -> CudaSharedMemoryTransport:
    """The transport under test."""
    transport = open_transport(url, shared_memory="cuda")
    assert isinstance(transport, CudaSharedMemoryTransport)
    return transport


def test_inputs_and_outputs_are_copied(memory: Memory, triton: Any, use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a real Triton are bit for bit those of the socket, by regions that are used again and given back."""

    def as_system(self: CudaSharedMemoryTransport, region: Region) -> tuple[str, Any]:
        assert isinstance(region, CudaRegion)
        method, request = SharedMemoryTransport._registration(self, region)
        request.key = f"/{region.raw_handle().decode()}"
        return method, request

    monkeypatch.setattr(CudaSharedMemoryTransport, "_registration", as_system)
    monkeypatch.setattr(CudaSharedMemoryTransport, "_removal", SharedMemoryTransport._removal)

    async def work(transport: Transport) -> list[np.ndarray[Any, Any]]:
        return [
            (await transport.infer("mlp", "", {"x": rows_of(n)}, ["y"], timeout=20.0))["y"] for n in (3000, 2500, 4096)
        ]

    plain = use(triton.url.replace("grpc:", "grpclib:"), work)

    async def on_gpu(transport: Transport) -> list[np.ndarray[Any, Any]]:
        await transport.close()
        gpu = cuda(triton.url)
        answers = await work(gpu)
        assert gpu.refused == ""
        assert len(memory.regions) == 1
        await gpu.close()
        return answers

    shared = use(triton.url, on_gpu)
    assert all(np.array_equal(one, other) for one, other in zip(shared, plain, strict=True))
    assert memory.copies == ["there", "there", "back", "there", "back"]  # the first answer tells the outputs' size
    assert memory.regions == []


def test_a_server_without_a_gpu_refuses(memory: Memory, triton: Any, use: Any) -> None:
    """The region is offered as one of a GPU; a Triton without any refuses it, and everything goes through the socket."""

    async def work(transport: Transport) -> None:
        await transport.close()
        gpu = cuda(triton.url)
        answer = await gpu.infer("mlp", "", {"x": rows_of(3000)}, ["y"], timeout=20.0)
        assert answer["y"].shape == (3000, 4)
        assert "failed to register shared memory region" in gpu.refused
        assert memory.regions == []
        await gpu.close()

    use(triton.url, work)


def test_the_region_is_offered_as_one_of_a_gpu(memory: Memory) -> None:
    """The request names the region, its size, its GPU, and the bytes with which another process opens it."""
    transport = cuda("grpc://127.0.0.1:8001")
    region = transport._reserve(1 << 20)
    method, request = transport._registration(region)
    assert method == "CudaSharedMemoryRegister"
    assert (request.name, request.byte_size, request.device_id) == (region.name, 1 << 20, 0)
    assert request.raw_handle == memory.regions[0].name.encode()
    assert transport._removal(region)[1].name == region.name
    region.close()
    region.close()
    assert memory.regions == []


@pytest.mark.parametrize(
    ("way", "why"), [("cuda:7", "GPU 7: invalid device ordinal"), ("cuda", "CUDA for Python cannot be used")]
)
def test_a_machine_without_a_gpu(
    way: str, why: str, memory: Memory, triton: Any, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such GPU, or no CUDA for Python: everything goes through the socket, and the transport says why."""
    if way == "cuda":
        monkeypatch.setitem(sys.modules, MODULE, None)

    async def work(transport: Transport) -> None:
        await transport.close()
        gpu = open_transport(triton.url, shared_memory=way)
        answer = await gpu.infer("mlp", "", {"x": rows_of(3000)}, ["y"], timeout=20.0)
        assert answer["y"].shape == (3000, 4)
        assert isinstance(gpu, CudaSharedMemoryTransport)
        assert gpu.refused.startswith(f"no shared memory: {why}")
        await gpu.close()

    use(triton.url, work)


def test_the_configuration_names_the_way() -> None:
    """`shared_memory` is on, off, or names a kind of memory; other words are faults."""
    for way in (True, False, "system", "cuda", "cuda:1"):
        assert InferenceService(servers=["grpc://127.0.0.1:1"], shared_memory=way).config.shared_memory == way
    with pytest.raises(ConfigurationError, match="shared_memory"):
        _ = InferenceService(servers=["grpc://127.0.0.1:1"], shared_memory="gpu").config
