"""A server that answers as FaaST's FPGA server does, with a function in the place of the FPGA.

    service = FaastService({"facile": WordModel(library, inputs=32, outputs=1)}, units=4)
    serve(service, "trtis")

FaaST (FPGAs as a service toolkit) speaks TRTIS of version 1, and of it the two calls Status and Infer. A request has one
tensor of 16-bit words, its first; a row is a channel, padded to 32 words, the 512 bits of the card's memory bus. A run of the
kernel takes 16,384 rows: a request is cut into such runs, and the last one is filled with zeros. The card has several
compute units, which take the runs in turn. Here each unit is a thread; the function must be one that several threads may
call, and should leave Python's lock. What the zeros of a padded run would give is not computed, for nobody sees it.

Where it differs: FaaST does not look at the name of a model or at the length of its rows; here a wrong one is an error, in
the form that TRTIS has for it.

Sources: Rankin et al. 2020, arXiv:2010.08556; fastmachinelearning/FaaST on GitHub, `server.cc`, `kernel_params.h`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from grpclib.const import Cardinality, Handler
from grpclib.encoding.proto import ProtoCodec
from grpclib.server import Stream

from .protos import trtis as messages
from .tensors import Array

KERNEL_ROWS = 16_384
"""Rows of one run of the kernel."""
REQUEST_ROWS = 16_000
"""Rows of a request, at most, unless the model says otherwise: the channels of an event, as CMS sends them."""
_METHODS = "/nvidia.inferenceserver.GRPCService/"
_SERVER = "inference:0"


@dataclass(frozen=True, slots=True)
class WordModel:
    """What is on the FPGA."""

    function: Callable[[Array], Array]
    """words: (rows, inputs) uint16 -> (rows, outputs) uint16"""
    inputs: int = 32
    """Words of a row."""
    outputs: int = 1
    """Words of an answer's row."""
    max_batch_size: int = REQUEST_ROWS
    """Rows of a request, at most."""
    input_name: str = "input"
    output_name: str = "output/BiasAdd"


class FaastService:
    """The calls, as grpclib takes them. `runs` counts those of the kernel."""

    codec = ProtoCodec()

    def __init__(self, models: Mapping[str, WordModel], units: int = 1) -> None:
        self.models = dict(models)
        self.runs = 0
        self._units = ThreadPoolExecutor(units, thread_name_prefix="unit")

    def __mapping__(self) -> dict[str, Handler]:
        """Status and Infer."""
        calls: dict[str, tuple[Callable[[Stream[Any, Any]], Awaitable[None]], Any, Any]] = {
            "Status": (self._status, messages.StatusRequest, messages.StatusResponse),
            "Infer": (self._infer, messages.InferRequest, messages.InferResponse),
        }
        return {
            _METHODS + name: Handler(call, Cardinality.UNARY_UNARY, request, answer)
            for name, (call, request, answer) in calls.items()
        }

    def close(self) -> None:
        """End the units, when they have done what they were given."""
        self._units.shutdown()

    async def _status(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        answer = messages.StatusResponse()
        wanted = [request.model_name] if request.model_name else list(self.models)
        if unknown := [name for name in wanted if name not in self.models]:
            _refuse(answer, messages.NOT_FOUND, self._unknown(unknown[0]))
        else:
            _accept(answer)
            answer.server_status.id = _SERVER
            answer.server_status.ready_state = messages.SERVER_READY
            for name in wanted:
                _describe(answer.server_status.model_status[name].config, name, self.models[name])
        await stream.send_message(answer)

    async def _infer(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        answer = messages.InferResponse()
        model = self.models.get(request.model_name)
        wrong = self._unknown(request.model_name) if model is None else _fault(request, model)
        if model is None or wrong:
            _refuse(answer, messages.NOT_FOUND if model is None else messages.INVALID_ARG, wrong)
        else:
            await self._answer(request, model, answer)
        await stream.send_message(answer)

    async def _answer(self, request: Any, model: WordModel, answer: Any) -> None:
        rows = np.frombuffer(request.raw_input[0], "<u2").astype(np.uint16, copy=False).reshape(-1, model.inputs)
        loop = asyncio.get_running_loop()
        runs = [rows[start : start + KERNEL_ROWS] for start in range(0, len(rows), KERNEL_ROWS)]
        self.runs += len(runs)
        try:
            words = await asyncio.gather(*(loop.run_in_executor(self._units, model.function, run) for run in runs))
        except Exception as error:
            _refuse(answer, messages.INTERNAL, f"the kernel failed: {error!r}")
            return
        _accept(answer)
        answer.meta_data.id = request.meta_data.id
        answer.meta_data.model_version = -1
        answer.meta_data.batch_size = len(rows)
        output = answer.meta_data.output.add(name=model.output_name)
        output.raw.dims.append(model.outputs)
        output.raw.batch_byte_size = 2 * model.outputs * len(rows)
        answer.raw_output.append(b"".join(one.astype("<u2", copy=False).tobytes() for one in words))

    def _unknown(self, name: str) -> str:
        return f"no model '{name}' on this card; it has {', '.join(sorted(self.models))}"


def _accept(answer: Any) -> None:
    answer.request_status.code = messages.SUCCESS
    answer.request_status.server_id = _SERVER


def _refuse(answer: Any, code: int, words: str) -> None:
    answer.request_status.code = code
    answer.request_status.server_id = _SERVER
    answer.request_status.msg = words


def _fault(request: Any, model: WordModel) -> str:
    """What is wrong with a request; empty if nothing is."""
    if len(request.raw_input) != 1:
        return f"{len(request.raw_input)} tensors came, where one is taken"
    size, width = len(request.raw_input[0]), 2 * model.inputs
    if size % width:
        return f"{size} bytes are no whole number of rows of {model.inputs} words"
    if size // width > model.max_batch_size:
        return f"{size // width} rows came, where a request has at most {model.max_batch_size}"
    return ""


def _describe(config: Any, name: str, model: WordModel) -> None:
    config.name, config.max_batch_size = name, model.max_batch_size
    config.input.add(name=model.input_name, data_type=messages.TYPE_UINT16, dims=[model.inputs])
    config.output.add(name=model.output_name, data_type=messages.TYPE_UINT16, dims=[model.outputs])
