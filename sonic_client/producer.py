"""The base classes of modules whose work is inference.

    class FacileProducer(InferenceProducer):
        model_inputs = {"input": "float32[36]"}
        model_outputs = {"energy": "float32[1]"}
        produces = "var * float32"

        class Config(InferenceProducer.Config):
            channels: InputTag = "HBHEChannel"

        def acquire(self, event):
            return {"input": channel_features(event[self.config.channels])}

        def produce(self, event, outputs):
            return outputs["energy"][:, 0]

`acquire` returns the input tensors of one event, each with one row per object: (rows, ...). `produce` gets the outputs of
just these rows: name -> (rows, ...). An event may have no rows. Nothing is seen of servers, requests or batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evproc.framework import Block, ExternalFilter, ExternalProducer, ExternalWork, Parameter
from evproc.framework.errors import ModelContractError

from .contract import Answers, empty_outputs, gather, same_shapes

if TYPE_CHECKING:
    from evproc.framework.service import Job

    from .model_queue import ModelQueue


class Client(Block):
    """Which model, and how it is asked."""

    model: str = Parameter(description="name of the model", min_length=1)
    version: str = Parameter("", description="version of the model; empty is the latest")
    timeout: float = Parameter(30.0, description="for one request, connecting included", unit="s", placement=True, gt=0)
    tries: int = Parameter(3, description="times that a request is sent before it has failed", placement=True, ge=1)
    max_rows: int = Parameter(
        1 << 30, description="rows of a request, beside the model's own limit", placement=True, ge=1
    )
    max_request: float = Parameter(4.0, description="inputs of a request", unit="MB", placement=True, gt=0)
    max_wait: float = Parameter(
        0.005, description="time that rows wait for others to share a request", unit="s", placement=True, ge=0
    )
    coalesce: bool = Parameter(True, description="whether rows of several events share a request", placement=True)


class InferenceWork(ExternalWork):
    """What inference producers and filters have in common."""

    class Config(ExternalWork.Config):
        """The model, and how it is asked."""

        client: Client = Parameter(description="the model, and how it is asked")

    model_inputs: ClassVar[Mapping[str, str]] = {}
    """The tensors that `acquire` makes: name -> type of one row, as `float32[36]`; held against the model at the begin."""
    model_outputs: ClassVar[Mapping[str, str]] = {}
    """The tensors that `produce` reads; only these are asked for. All, if none is named."""

    _queue: ModelQueue | None = None

    def begin_job(self, job: Job) -> None:
        """Find the model's queue."""
        from .service import InferenceService

        self._queue = job.service(InferenceService).queue(self)

    def work_bytes(self, work: list[Any]) -> int:
        """The bytes of the tensors of some events, from every fourth; what is no tensor is found when it is launched."""
        some = work[::4]
        try:
            seen: int = sum([tensors[name].nbytes for name in work[0] for tensors in some])
            return seen * len(work) // len(some)
        except (AttributeError, TypeError, KeyError):
            return 0

    def launch(self, work: list[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Send the tensors of some events; the future has the outputs of each."""
        queue = self._queue
        assert queue is not None, "begin_job has been called"
        runs = same_shapes(work, queue.metadata) if queue.policy.coalesce else [[tensors] for tensors in work]
        if len(runs) == 1:
            return self._launch_run(queue, work)
        futures: list[asyncio.Future[Sequence[Any]]] = []
        place = total = 0
        for run in runs:
            try:
                future, nbytes = self._launch_run(queue, run)
            except ModelContractError as error:
                for future in futures:
                    future.cancel()
                error.place = place + getattr(error, "place", 0)  # type: ignore[attr-defined]  # of the event, for its name
                raise
            futures.append(future)
            place += len(run)
            total += nbytes
        return asyncio.ensure_future(_join(futures)), total

    def _launch_run(self, queue: ModelQueue, work: Sequence[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Send the tensors of some events whose rows have one shape."""
        inputs, bounds = gather(work, queue.metadata)
        rows = bounds[-1]
        names = tuple(self.model_outputs)
        if not rows:
            future: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
            future.set_result(Answers(empty_outputs(names, queue.metadata), bounds))
            return future, 1
        nbytes = sum(array.nbytes for array in inputs.values())
        return queue.submit(inputs, rows, lambda outputs: Answers(outputs, bounds)), nbytes


async def _join(futures: Sequence[asyncio.Future[Sequence[Any]]]) -> Sequence[Any]:
    return [result for results in await asyncio.gather(*futures) for result in results]


class InferenceProducer(InferenceWork, ExternalProducer):
    """A producer whose work is inference: `produce(event, outputs)`, outputs: name -> (rows of the event, ...)."""

    class Config(InferenceWork.Config):
        """The model, and how it is asked."""


class InferenceFilter(InferenceWork, ExternalFilter):
    """A filter whose work is inference: `filter(event, outputs)`, outputs: name -> (rows of the event, ...)."""

    class Config(InferenceWork.Config):
        """The model, and how it is asked."""
