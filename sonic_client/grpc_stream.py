# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""Streams: models that answer one request with any number of answers ("decoupled" in Triton's words), over `grpc.aio`.

    async with contextlib.aclosing(infer_stream(transport, "cells", "", {"x": x}, ["y"], timeout=30.0)) as answers:
        async for outputs in answers: ...

Each answer is handed on as soon as it has come. A stream carries one request: its end is the end of the answers, and an
error is one request's. When the iteration is left early, the stream is cancelled, on the server too (`aclosing` sees to
that at once). `timeout` is for all answers together. There is no retry: answers that have been handed on cannot be taken back.

The number of answers says nothing of rows, so producers, whose events share requests, do not use this; a module of external
work can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf

import grpc
import grpc.aio

from . import kserve
from .grpc_transport import GrpcTransport
from .tensors import Array
from .transport import contract_error, deadline_error, status_error
from .wire_fields import message_fields

_ERROR, _ANSWER = 1, 2  # fields of a ModelStreamInferResponse


async def infer_stream(
    transport: GrpcTransport,
    model: str,
    version: str,
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    timeout: float = inf,
    request_id: str = "",
    priority: int = 0,
) -> AsyncIterator[dict[str, Array]]:
    """Each answer's outputs (all, if `outputs` is empty), by name, in the order of the answers.

    Raises InferenceError as `Transport.infer` does; answers that came before have been handed on.
    """
    where = {"server": transport.url, "model": model}
    try:
        request = kserve.infer_request(model, version, inputs, outputs, request_id, priority)
    except ValueError as error:
        raise contract_error(str(error), **where) from error
    call = transport.open_stream(request, timeout)
    try:
        async for data in call:
            yield _outputs(data, outputs, where)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise deadline_error(timeout, **where) from error
        raise status_error(error.code().name, error.details() or "", **where) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise status_error("CANCELLED", "the stream was cancelled", **where) from error
    finally:
        call.cancel()


def _outputs(data: bytes, wanted: Sequence[str], where: Mapping[str, str]) -> dict[str, Array]:
    """The outputs of one answer of a stream."""
    answer = b""
    for field, _, content in message_fields(memoryview(data)):
        if field == _ERROR and content:
            words = bytes(content).decode(errors="replace")
            raise status_error("INVALID_ARGUMENT", words, **where)
        if field == _ANSWER:
            answer = bytes(content)
    try:
        return kserve.infer_answer(answer, wanted)
    except ValueError as error:
        raise contract_error(str(error), **where) from error
