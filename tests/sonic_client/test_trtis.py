"""TRTIS of version 1, against a server that answers as FaaST's does; and rows in fixed point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import InferenceError, ModelContractError, RequestRejected, ServerUnavailable
from evproc.sonic_client.fixed_point import pack_rows, unpack_rows
from evproc.sonic_client.protos import trtis
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.transport import is_retryable
from tests.sonic_client.grpclib_servers import FaaST, against

U2 = np.dtype("<u2")


def packed(rows: int) -> np.ndarray:
    """(rows, 32) uint16: 18 numbers in fixed point, and padding."""
    return pack_rows(np.random.default_rng(rows).uniform(-30, 30, (rows, 18)))


def ask(rows: int = 3) -> Any:
    """One request."""
    return lambda t: t.infer("facile", "", {"input": packed(rows)}, ["output/BiasAdd"], timeout=20.0, priority=2)


@pytest.mark.parametrize("rows", [1, 7, 16000])
def test_packed_rows(rows: int) -> None:
    """FaaST gets 64 bytes a row, and its 2 bytes a row come back; types that it does not state are the model's."""
    service = FaaST()
    y = against(service, "trtis", ask(rows))["output/BiasAdd"]
    assert (y.dtype, y.shape) == (U2, (rows, 1))
    assert y[:, 0].tolist() == packed(rows).sum(axis=1, dtype="<u2").tolist()
    request = service.seen[-1]
    assert (request.model_name, request.model_version) == ("facile", -1)
    meta = request.meta_data
    assert (meta.batch_size, meta.id, meta.priority) == (rows, 1, 2)
    assert [(one.name, list(one.dims), one.batch_byte_size) for one in meta.input] == [("input", [32], 64 * rows)]
    assert [one.name for one in meta.output] == ["output/BiasAdd"]


def test_what_the_server_says_of_its_models() -> None:
    """Status gives the models, their tensors and their batch size; asked for once, however many requests are made."""

    async def work(transport: Any) -> Any:
        for _ in range(3):
            await ask()(transport)
        return (
            await transport.ready(20.0),
            await transport.models(20.0),
            await transport.metadata("facile", "", 20.0),
            await transport.statistics("facile", 20.0),
        )

    service = FaaST()
    ready, models, metadata, statistics = against(service, "trtis", work)
    assert (ready, models) == (True, ("facile",))
    assert (metadata.max_batch_size, metadata.versions) == (160000, ("1",))
    assert metadata.inputs == (TensorSpec("input", U2, (32,)),)
    assert metadata.outputs == (TensorSpec("output/BiasAdd", U2, (1,)),)
    assert (statistics.rows, statistics.queue) == (0, 0.0)
    asked = [type(request).__name__ for request in service.seen]
    assert asked.count("StatusRequest") == 5


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        ("UNAVAILABLE", ServerUnavailable, True),
        ("INTERNAL", InferenceError, True),
        ("UNKNOWN", InferenceError, True),
        ("INVALID_ARG", RequestRejected, False),
        ("NOT_FOUND", RequestRejected, False),
        ("UNSUPPORTED", RequestRejected, False),
    ],
)
def test_errors_inside_answers(code: str, kind: type[InferenceError], again: bool) -> None:
    """TRTIS's own codes are errors of the one table."""
    service = FaaST()

    def refuse(_: Any) -> Any:
        answer = trtis.InferResponse()
        answer.request_status.code = trtis.RequestStatusCode.Value(code)
        answer.request_status.msg = "all four kernels are busy"
        return answer

    service.infer = refuse
    with pytest.raises(kind, match="model 'facile': all four kernels are busy") as caught:
        against(service, "trtis", ask())
    assert type(caught.value) is kind
    assert is_retryable(caught.value) is again


def spoilt(**changes: Any) -> FaaST:
    """A server whose answers have something changed."""
    service = FaaST()

    def infer(request: Any) -> Any:
        answer = service._infer(request)
        if "identity" in changes:
            answer.meta_data.id = 77
        if "rows" in changes:
            answer.meta_data.batch_size += 1
        if "raw" in changes:
            answer.raw_output.append(b"")
        if "name" in changes:
            answer.meta_data.output[0].name = "other"
        return answer

    service.infer = infer
    return service


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("identity", "the answer to request 77 came in place of that to request 1"),
        ("rows", r"6 bytes, where shape \(4, 1\)"),
        ("raw", "1 outputs are described, and the bytes of 2 came"),
        ("name", "'output/BiasAdd' was asked for and did not come"),
    ],
)
def test_answers_that_cannot_be(change: str, words: str) -> None:
    """An answer of another request, with other rows, bytes or names is refused, never used."""
    with pytest.raises(ModelContractError, match=words):
        against(spoilt(**{change: True}), "trtis", ask())


def test_an_unknown_model() -> None:
    """A model that Status does not have is refused without a request for inference."""
    service = FaaST()
    with pytest.raises(RequestRejected, match="has no model 'nope'"):
        against(service, "trtis", lambda t: t.infer("nope", "", {"input": packed(1)}, [], timeout=20.0))
    assert len(service.seen) == 1


def test_fixed_point_is_ap_fixed_16_6() -> None:
    """16 bits with 6 before the point: steps of 2**-10, what is finer dropped downwards, what is larger clipped."""
    values = np.array([[0.0, 1.0, -1.0, 0.0009, -0.0001, 31.9999, 40.0, -40.0]])
    words = pack_rows(values)
    assert words.shape == (1, 32)
    assert words[0, :8].view(np.int16).tolist() == [0, 1024, -1024, 0, -1, 32767, 32767, -32768]
    assert not words[0, 8:].any()
    steps = np.arange(-32768, 32768, dtype=np.int16).view(np.uint16).reshape(-1, 32)
    assert pack_rows(unpack_rows(steps)).tolist() == steps.tolist()


@pytest.mark.parametrize("wrong", [np.zeros((2, 33)), np.zeros(4), np.array([[np.nan]]), np.array([[np.inf]])])
def test_what_cannot_be_packed(wrong: np.ndarray) -> None:
    """Too many numbers for a row, and numbers that are none, are errors."""
    with pytest.raises(ValueError, match=r"rows of at most 32|not finite"):
        pack_rows(wrong)
