"""Tensors for a server on this machine, through the memory of a GPU that both see: `shared_memory="cuda"`.

The problem: with system shared memory a server copies each input once more, from there to its GPU, and each output back, by
pages that the driver does not know.

The policy is that of system shared memory (`shared_memory`), with regions that lie on the GPU: the inputs are gathered in
memory of this process, go to the GPU in one copy before the request leaves, and the outputs come back in one copy behind the
answer. Where this machine has no GPU, or no CUDA for Python, or the server takes no such region, everything goes through the
socket, and `refused` says why.

The cost: a copy of the whole region each way, which holds the event loop while it runs. It is meant for tensors of megabytes
and for models that are short; where it does not pay, system shared memory, the default, is better. Regions end with the
process; a server keeps them mapped until it is told or ends.
"""

from __future__ import annotations

import base64
from importlib import import_module
from typing import Any

import numpy as np

from .connection import DEFAULT, Connection
from .messages import service as messages
from .shared_memory import Region, SharedMemoryTransport, new_name


def cuda_shared_memory() -> Any:
    """tritonclient's functions for the memory of GPUs. Raises OSError if they cannot be used here."""
    try:
        return import_module("tritonclient.utils.cuda_shared_memory")
    except (ImportError, RuntimeError, OSError) as error:
        raise OSError(0, f"CUDA for Python cannot be used: {error} (pip install 'evproc[cuda]')") from error


class CudaRegion(Region):
    """A piece of a GPU's memory, with as much memory of this process, in which it is written and read."""

    def __init__(self, size: int, device: int) -> None:
        """Reserve it. Raises OSError if there is no such GPU, or no room."""
        self.name = new_name()
        self.size = size
        self.device = device
        self._cuda = cuda_shared_memory()
        try:
            self._handle = self._cuda.create_shared_memory_region(self.name, size, device)
        except Exception as error:  # the package has errors of its own
            raise OSError(0, f"GPU {device}: {error}") from error
        self._bytes = np.zeros(size, np.uint8)

    def unlink(self) -> None:
        """It has no name on this machine that could be found."""

    def raw_handle(self) -> bytes:
        """What another process opens it with."""
        return base64.b64decode(self._cuda.get_raw_handle(self._handle))

    def hand_over(self) -> None:
        """Copy what was written to the GPU."""
        self._cuda.set_shared_memory_region(self._handle, [self._bytes])

    def take_back(self) -> None:
        """Copy what the server has written from the GPU."""
        self._bytes[:] = self._cuda.get_contents_as_numpy(self._handle, np.uint8, [self.size])

    def close(self) -> None:
        """Give the memory back."""
        handle, self._handle = self._handle, None
        self._bytes = np.empty(0, np.uint8)
        if handle is not None:
            self._cuda.destroy_shared_memory_region(handle)


class CudaSharedMemoryTransport(SharedMemoryTransport):
    """KServe v2 over `grpc.aio`, for a server on this machine: large tensors go through the memory of a GPU."""

    def __init__(self, url: str, connection: Connection = DEFAULT, device: int = 0) -> None:
        super().__init__(url, connection)
        self.device = device

    def _reserve(self, size: int) -> CudaRegion:
        return CudaRegion(size, self.device)

    def _registration(self, region: Region) -> tuple[str, Any]:
        assert isinstance(region, CudaRegion)
        request = messages.CudaSharedMemoryRegisterRequest(
            name=region.name, raw_handle=region.raw_handle(), device_id=region.device, byte_size=region.size
        )
        return "CudaSharedMemoryRegister", request

    def _removal(self, region: Region) -> tuple[str, Any]:
        return "CudaSharedMemoryUnregister", messages.CudaSharedMemoryUnregisterRequest(name=region.name)
