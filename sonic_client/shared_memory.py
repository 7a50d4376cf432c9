# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""Tensors for a server on this machine, through shared memory.

The problem: a request of 500 kB that goes through a socket is copied four times, by two processes and the kernel, and the
client's part of it holds the event loop for up to a millisecond.

The policy: the inputs of a request that is large enough, or whose outputs are, are written into a region of system shared
memory that the server has mapped too, and only their place is sent. Behind the inputs lie places for the outputs, as soon
as their sizes are known (`shared_outputs`). A region serves one request at a time, and is used again. It is asked for by
registering it under a name that nobody can guess, so a server that is not on this machine, for instance behind a tunnel,
cannot find it; then, and where a server knows no shared memory, or where there is none to be had, everything goes through the
socket as before.

Nothing is left behind: a region's name is removed as soon as the server has mapped it, so that it lives no longer than the
two processes. A region whose request has failed may still be used by the server, so it is not used again.

The cost: one copy of the inputs, into the region, and one of the outputs, out of it. A server that outlives the client
abruptly ended keeps the client's regions mapped until it ends, since it cannot know.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.errors import InferenceError, RequestRejected

from . import kserve
from .connection import DEFAULT, Connection
from .grpc_transport import GrpcTransport
from .messages import service as messages
from .shared_outputs import ROOM_REFUSED, OutputSizes, key_of, mark, rows_of, untouched
from .tensors import Array, Tensor, datatype_of, wire_parts
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


def new_name() -> str:
    """A name that nobody can guess."""
    return f"evproc-{os.getpid()}-{secrets.token_hex(12)}"


class Region:
    """A piece of shared memory that the server has mapped: `name` there, `size` bytes."""

    def __init__(self, size: int) -> None:
        """Reserve it. Raises OSError if there is no room."""
        self.name = new_name()
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

    def hand_over(self) -> None:
        """All is written: the server may look. Here it does at any time."""

    def take_back(self) -> None:
        """The server has answered. Here its outputs are in place."""

    def view(self, place: int, size: int) -> memoryview:
        """The bytes at a place."""
        return self._bytes[place : place + size].data

    def close(self) -> None:
        """Give the memory back, at the latest when nobody looks at it any more."""
        self.unlink()
        self._bytes = np.empty(0, np.uint8)
        with contextlib.suppress(BufferError):
            self._memory.close()


def _room(nbytes: int) -> int:
    """Bytes that a tensor takes in a region."""
    return -(-nbytes // _ALIGNED) * _ALIGNED


class SharedMemoryTransport(GrpcTransport):
    """KServe v2 over `grpc.aio`, for a server on this machine: large inputs go through shared memory."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._spare: list[Region] = []
        self._retired: list[Region] = []
        #: why shared memory is not used; empty while it is
        self.refused = ""
        self._sizes = OutputSizes()

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
        priority: int = 0,
    ) -> dict[str, Array]:
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name."""
        key, rows = key_of(model, version, outputs), rows_of(inputs)
        sizes = None if self.refused else self._sizes.of(key, rows)
        region = await self._take(inputs, sizes)
        if region is None:
            answer = await super().infer(
                model, version, inputs, outputs, timeout=timeout, request_id=request_id, priority=priority
            )
            self._sizes.learn(key, rows, answer)
            return answer
        try:
            request, places = self._request(region, model, version, inputs, outputs, sizes, request_id, priority)
            region.hand_over()
            data = await self._call("ModelInfer", request, timeout, model)
            if places:
                region.take_back()
            if places and untouched(places):
                raise RequestRejected(f"{ROOM_REFUSED}: not filled")
            answer = kserve.infer_answer(data, outputs, places)
        except InferenceError as error:
            self._retire(region)
            if _GONE in str(error):
                self._forget()  # another server answers at this address now: it has none of our regions
            elif sizes is not None and ROOM_REFUSED in str(error):
                self._sizes.forget(key)
            else:
                raise
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
        if sizes is None:
            self._sizes.learn(key, rows, answer)
        return answer

    def _request(
        self,
        region: Region,
        model: str,
        version: str,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        sizes: Mapping[str, int] | None,
        request_id: str,
        priority: int,
    ) -> tuple[bytes, dict[str, memoryview]]:
        """Write the inputs into a region; the request that says where they are, and the outputs' places. Raises ValueError."""
        placed = []
        place = 0
        for name, array in inputs.items():
            begin = place
            for data in wire_parts(array):
                region.write(place, data)
                place += len(data)
            placed.append(((name, datatype_of(array.dtype), array.shape), (begin, place - begin)))
            place = begin + _room(place - begin)
        if sizes is None:
            wanted: list[tuple[str, tuple[int, int] | None]] = [(name, None) for name in outputs]
            return kserve.shared_request(
                model, version, region.name, tuple(placed), tuple(wanted), request_id, priority
            ), {}
        wanted, places = [], {}
        for name in outputs or sizes:
            if size := sizes[name]:
                places[name] = region.view(place, size)
            wanted.append((name, (place, size) if size else None))
            place += _room(size)
        mark(places)
        request = kserve.shared_request(model, version, region.name, tuple(placed), tuple(wanted), request_id, priority)
        return request, places

    async def _take(self, inputs: Mapping[str, Tensor], sizes: Mapping[str, int] | None) -> Region | None:
        """A region for these inputs, and for outputs of these sizes; None if they go through the socket."""
        if self.refused or any(array.dtype.kind in "OSU" for array in inputs.values()):
            return None
        wanted = sum(array.nbytes + _ALIGNED for array in inputs.values())
        if sizes is not None:
            wanted += sum(map(_room, sizes.values()))
        if wanted < LEAST:
            return None
        for place in reversed(range(len(self._spare))):  # the last one used is the warmest
            if self._spare[place].size >= wanted:
                return self._spare.pop(place)
        return await self._register(max(SMALLEST, 1 << (wanted - 1).bit_length()))

    async def _register(self, size: int) -> Region | None:
        """Make a region, and let the server map it; None if that cannot be."""
        try:
            region = self._reserve(size)
        except OSError as error:
            self.refused = f"no shared memory: {error.strerror}"
            return None
        method, request = self._registration(region)
        try:
            await self._call(method, request.SerializeToString(), _SETUP_TIMEOUT)
        except InferenceError as error:
            self.refused = str(error)
            region.close()
            return None
        except BaseException:
            region.close()
            raise
        region.unlink()
        return region

    def _reserve(self, size: int) -> Region:
        """A region that the server does not know yet. Raises OSError."""
        return Region(size)

    def _registration(self, region: Region) -> tuple[str, Any]:
        """The call that lets the server map a region, and its request."""
        request = messages.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", byte_size=region.size
        )
        return "SystemSharedMemoryRegister", request

    def _removal(self, region: Region) -> tuple[str, Any]:
        """The call that lets the server forget a region, and its request."""
        return "SystemSharedMemoryUnregister", messages.SystemSharedMemoryUnregisterRequest(name=region.name)

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
                method, request = self._removal(region)
                await self._call(method, request.SerializeToString(), _SETUP_TIMEOUT)
        except InferenceError:
            pass  # the server is gone, and its maps with it
        finally:
            self._forget()
            await super().close()
