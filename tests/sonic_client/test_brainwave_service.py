"""The Brainwave service without FPGA: one call, one key, one answer, one request at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from evproc.framework.errors import DeadlineExceeded, InferenceError, RequestRejected
from evproc.sonic_client.brainwave_service import BrainwaveService, onnx_function
from evproc.sonic_client.serving import served
from evproc.sonic_client.tensors import Array
from evproc.sonic_client.transport import Transport, open_transport

T = TypeVar("T")
PICTURE = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)


def against(make: Callable[[], BrainwaveService], work: Callable[[Transport, BrainwaveService], Awaitable[T]]) -> T:
    """Do something with a transport to a service."""

    async def main() -> T:
        service = make()
        async with served(service, "brainwave", path="/resnet50") as address:
            transport = open_transport(address)
            try:
                return await work(transport, service)
            finally:
                await transport.close()

    return asyncio.run(main())


async def ask(transport: Transport, key: str = "Placeholder:0", timeout: float = 20.0) -> Any:  # noqa: ASYNC109  # the client's own
    """One request for the one answer."""
    return (await transport.infer("resnet50", "", {key: PICTURE}, ["scores"], timeout=timeout))["scores"]


def halved(picture: Array) -> Array:
    """Half of everything; no negative numbers."""
    if picture.shape != PICTURE.shape:
        raise ValueError("this is no picture")
    return picture[..., 0] / np.float32(2)


def test_the_first_output_is_the_answer() -> None:
    """Whatever the key of the answer, the client gets it under the name that it asked for; the service is there."""

    async def work(transport: Transport, _: BrainwaveService) -> Any:
        return await transport.ready(20.0), await transport.models(20.0), await ask(transport)

    ready, models, scores = against(lambda: BrainwaveService(halved, answer="output_alias"), work)
    assert (ready, models) == (True, ("resnet50",))
    assert (scores.dtype, scores.tobytes()) == (np.float32, halved(PICTURE).tobytes())


def test_what_it_refuses() -> None:
    """Another key names the right one; a wrong tensor is the client's fault, a failure the service's."""

    def broken(picture: Array) -> Array:
        raise RuntimeError("no clock")

    async def wrong(transport: Transport, service: BrainwaveService) -> None:
        with pytest.raises(RequestRejected, match="has the key 'Placeholder:0', and images came"):
            await ask(transport, "images")
        with pytest.raises(RequestRejected, match="this is no picture"):
            await transport.infer("resnet50", "", {"Placeholder:0": PICTURE[0]}, ["scores"], timeout=20.0)
        assert (await ask(transport)).shape == (1, 2, 2)

    async def failing(transport: Transport, _: BrainwaveService) -> None:
        with pytest.raises(InferenceError, match="no clock"):
            await ask(transport)

    against(lambda: BrainwaveService(halved), wrong)
    against(lambda: BrainwaveService(broken), failing)


def test_one_at_a_time_and_none_too_late() -> None:
    """While a picture is in work the next one waits; if its deadline passes there, it is never begun."""
    gate = threading.Event()

    def slow(picture: Array) -> Array:
        gate.wait(20.0)
        return picture

    async def work(transport: Transport, service: BrainwaveService) -> None:
        first = asyncio.create_task(ask(transport))
        while not service.begun:  # noqa: ASYNC110  # the service tells nobody
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await ask(transport, timeout=0.05)
        gate.set()
        assert (await first).shape == PICTURE.shape
        assert service.begun == 1

    against(lambda: BrainwaveService(slow), work)


def test_an_onnx_file_behind_it() -> None:
    """A network answers as onnxruntime does here; rows of another shape are refused."""
    path = Path(__file__).parents[2] / "models" / "jet_energy" / "1" / "model.onnx"
    function = onnx_function(path)
    rows = np.ones((2, 11), np.float32)

    async def work(transport: Transport, _: BrainwaveService) -> Any:
        with pytest.raises(RequestRejected, match=r"(?i)invalid"):
            await transport.infer("jets", "", {"input": rows[:, :3]}, ["factor"], timeout=20.0)
        return (await transport.infer("jets", "", {"input": rows}, ["factor"], timeout=20.0))["factor"]

    assert against(lambda: BrainwaveService(function, key="input"), work).tobytes() == function(rows).tobytes()
