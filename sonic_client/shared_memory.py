# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""Tensors for a server on this machine, through shared memory.

The problem: a request of 500 kB that goes through a socket is copied four times, by two processes and the kernel, and the
client's part of it holds the event loop for up to a millisecond.

The policy: the inputs of a request that is large enough are written into a region of system shared memory that the server
has mapped too, and only their place is sent. Answers come by the socket: those of the networks of this field are small
beside their inputs. A region serves one request at a time, and is used again. It is asked for by registering it under a
name that nobody can guess, so a server that is not on this machine, for instance behind a tunnel, cannot find it; then,
and where a server knows no shared memory, or where there is none to be had, everything goes through the socket as before.

Nothing is left behind: a region's name is removed as soon as the server has mapped it, so that it lives no longer than the
two processes. A region whose request has failed may still be read by the server, so it is not used again.

The cost: one copy, into the region. A server that outlives the client abruptly ended keeps the client's regions mapped
until it ends, since it cannot know.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evproc.framework.errors import InferenceError, RequestRejected

from . import kserve
from .connection import DEFAULT, Connection
from .grpc_transport import GrpcTransport
from .messages import service as messages
from .tensors import Array, datatype_of, to_wire
from .transport import contract_error

LEAST = 32 << 10
"""Bytes of inputs from which on shared memory is worth while; a call without tensors costs as much as copying these."""
SMALLEST = 1 << 20
"""Bytes of a region, at least."""
MOST_RETIRED = 16
"""Regions given up after failures, at which shared memory is used no more with this server."""
FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
_SETUP_TIMEOUT = 5.0
_ALIGNED = 64
_GONE = "Unable to find"


class Region:
    """A piece of shared memory that the server has mapped: `name` there, `size` bytes."""

    def __init__(self, size: int) -> None:
        """Reserve it. Raises OSError if there is no room."""
        self.name = f"evproc-{os.getpid()}-{secrets.token_hex(12)}"
        self.size = size
        self._path = FOLDER / self.name
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)  # to write where there is no room would end the process
            self._memory = mmap.mmap(handle, size)
        except BaseException:
            self.unlink()
            raise
        finally:
            os.close(handle)
        self._bytes = np.frombuffer(self._memory, np.uint8)

    def unlink(self) -> None:
        """Take its name away; who has mapped it keeps it."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def write(self, place: int, data: bytes | memoryview) -> None:
        """Put bytes at a place."""
        self._bytes[place : place + len(data)] = np.frombuffer(data, np.uint8)

    def close(self) -> None:
        """Give the memory back."""
        self.unlink()
        del self._bytes
        self._memory.close()


class SharedMemoryTransport(GrpcTransport):
    """KServe v2 over `grpc.aio`, for a server on this machine: large inputs go through shared memory."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._spare: list[Region] = []
        self._retired: list[Region] = []
        #: why shared memory is not used; empty while it is
        self.refused = ""

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
        priority: int = 0,
    ) -> dict[str, Array]:
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name."""
        region = await self._take(inputs)
        if region is None:
            return await super().infer(
                model, version, inputs, outputs, timeout=timeout, request_id=request_id, priority=priority
            )
        try:
            request = self._request(region, model, version, inputs, outputs, request_id, priority)
            data = await self._call("ModelInfer", request, timeout, model)
            answer = kserve.infer_answer(data, outputs)
        except RequestRejected as error:
            self._retire(region)
            if _GONE not in str(error):
                raise
            # another server answers at this address now: it has none of our regions
            self._forget()
            return await super().infer(
                model, version, inputs, outputs, timeout=timeout, request_id=request_id, priority=priority
            )
        except ValueError as error:
            self._retire(region)
            raise contract_error(str(error), server=self.url, model=model) from error
        except BaseException:
            self._retire(region)
            raise
        self._spare.append(region)
        return answer

    def _request(
        self,
        region: Region,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        request_id: str,
        priority: int,
    ) -> bytes:
        """Write the inputs into a region; the request that says where they are. Raises ValueError."""
        placed = []
        place = 0
        for name, array in inputs.items():
            data = to_wire(array)
            region.write(place, data)
            placed.append(((name, datatype_of(array.dtype), array.shape), place, len(data)))
            place += -(-len(data) // _ALIGNED) * _ALIGNED
        return kserve.shared_request(model, version, region.name, placed, outputs, request_id, priority)

    async def _take(self, inputs: Mapping[str, Array]) -> Region | None:
        """A region for these inputs; None if they go through the socket."""
        if self.refused or any(array.dtype.kind in "OSU" for array in inputs.values()):
            return None
        wanted = sum(array.nbytes + _ALIGNED for array in inputs.values())
        if wanted < LEAST:
            return None
        for place in reversed(range(len(self._spare))):  # the last one used is the warmest
            if self._spare[place].size >= wanted:
                return self._spare.pop(place)
        return await self._register(max(SMALLEST, 1 << (wanted - 1).bit_length()))

    async def _register(self, size: int) -> Region | None:
        """Make a region, and let the server map it; None if that cannot be."""
        try:
            region = Region(size)
        except OSError as error:
            self.refused = f"no shared memory: {error.strerror}"
            return None
        request = messages.SystemSharedMemoryRegisterRequest(name=region.name, key=f"/{region.name}", byte_size=size)
        try:
            await self._call("SystemSharedMemoryRegister", request.SerializeToString(), _SETUP_TIMEOUT)
        except InferenceError as error:
            self.refused = str(error)
            region.close()
            return None
        except BaseException:
            region.close()
            raise
        region.unlink()
        return region

    def _retire(self, region: Region) -> None:
        """A request has failed: the server may still read its region."""
        self._retired.append(region)
        if len(self._retired) >= MOST_RETIRED:
            self.refused = f"{MOST_RETIRED} requests failed"

    def _forget(self) -> None:
        """The server knows none of the regions."""
        for region in (*self._spare, *self._retired):
            region.close()
        self._spare.clear()
        self._retired.clear()

    async def close(self) -> None:
        """Let the server forget the regions, and close the channel. Calls under way end with ServerUnavailable."""
        regions = [*self._spare, *self._retired]
        try:
            for region in regions if self._channel is not None else ():
                request = messages.SystemSharedMemoryUnregisterRequest(name=region.name)
                await self._call("SystemSharedMemoryUnregister", request.SerializeToString(), _SETUP_TIMEOUT)
        except InferenceError:
            pass  # the server is gone, and its maps with it
        finally:
            self._forget()
            await super().close()
