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
just these rows: name -> (rows, ...). An event may have no rows. Nothing is seen of servers, requests or batches. An event
whose tensors would be too large to be held returns `Pieces`, which makes them as they are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evproc.framework import Block, ExternalFilter, ExternalProducer, ExternalWork, Parameter
from evproc.framework.errors import ModelContractError

from .contract import Answers, empty_outputs, gather
from .entries import Plan, has_lists, is_plain, of_one_kind, plan, size_of
from .hedging import Hedge
from .pieces import Pieces, Sender, as_pieces
from .retry import AnyAction
from .tensors import Array, wire_size

if TYPE_CHECKING:
    from evproc.framework.service import Job

    from .model_queue import ModelQueue


class Client(Block):
    """Which model, and how it is asked."""

    model: str = Parameter(description="name of the model", min_length=1)
    version: str = Parameter("", description="version of the model; empty is the latest")
    files: str = Parameter(
        "",
        description="folder of the model on this machine; its config.pbtxt and files must be those of the server",
        placement=True,
    )
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
    deadline: float | None = Parameter(
        None, description="for a request with all its retries; none by default", unit="s", placement=True, gt=0
    )
    event_deadline: float | None = Parameter(
        None,
        description="from when an event's rows are handed over to when its outputs are there, all attempts and waiting "
        "included; none by default",
        unit="s",
        placement=True,
        gt=0,
    )
    priority: int = Parameter(
        0, description="for models with levels of it: 1 is the most urgent, 0 the model's own", placement=True, ge=0
    )
    retry: list[Annotated[AnyAction, Field(discriminator="kind")]] | None = Parameter(
        None,
        description="what is done after a failure, in order; by default the same server, another one, the fallback",
    )
    patience: float = Parameter(
        60.0,
        description="for which a request is sent again to servers that refuse because they have too much to do",
        unit="s",
        placement=True,
        ge=0,
    )
    prefer: list[str] = Parameter(
        default_factory=list,
        description="names or addresses of servers; no other is asked while one of them can be",
        placement=True,
    )
    hedge: Hedge | None = Parameter(
        None, description="when a request that is late is sent to a second server too; never by default", placement=True
    )


class InferenceWork(ExternalWork):
    """What inference producers and filters have in common."""

    class Config(ExternalWork.Config):
        """The model, and how it is asked."""

        client: Client = Parameter(description="the model, and how it is asked")

    model_inputs: ClassVar[Mapping[str, str]] = {}
    """The tensors that `acquire` makes: name -> type of one row, as `float32[36]`; held against the model at the begin."""
    model_outputs: ClassVar[Mapping[str, str]] = {}
    """The tensors that `produce` reads; only these are asked for. All, if none is named."""

    _names_events = True
    _queue: ModelQueue | None = None
    _plain = False
    _budget = 0

    def begin_job(self, job: Job) -> None:
        """Find the model's queue."""
        from .service import InferenceService

        self._queue = job.service(InferenceService).queue(self)
        self._plain = is_plain(self._queue.metadata)
        self._budget = job.in_flight_bytes

    def work_bytes(self, work: list[Any]) -> int:
        """The bytes of the tensors of some events, from every sixteenth; what is no tensor is found when it is launched."""
        some = work[::16]
        if not self._plain:
            return sum(map(size_of, some)) * len(work) // len(some)
        try:
            seen: int = sum([tensors[name].nbytes for name in work[0] for tensors in some])
            return seen * len(work) // len(some)
        except (AttributeError, TypeError, KeyError):
            return sum([tensors.nbytes for tensors in work if isinstance(tensors, Pieces)])

    def launch(self, work: list[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Send the tensors of some events; the future has the outputs of each."""
        queue = self._queue
        assert queue is not None, "begin_job has been called"
        queue.outcomes.events += len(work)
        if isinstance(work[0], Pieces):
            return self._launch_pieces(queue, work)
        if (queue.policy.coalesce or len(work) == 1) and (self._plain or of_one_kind(work, queue.metadata)):
            try:
                return self._launch_run(queue, work)
            except ModelContractError:
                if any(isinstance(item, Pieces) for item in work):
                    return self._launch_pieces(queue, work)
                if not has_lists(work):
                    raise
        return self._launch_plan(queue, work)

    def _launch_pieces(self, queue: ModelQueue, work: Sequence[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Make and send the tensors of some events piece by piece."""
        pieces = as_pieces(work, queue.metadata.name, plain=self._plain)
        sender = Sender(queue, tuple(self.model_outputs), self._budget, self._launched)
        return asyncio.ensure_future(sender.results(pieces)), sender.nbytes(pieces)

    def _launch_plan(self, queue: ModelQueue, work: Sequence[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Send the tensors of some events whose rows have different shapes, or must not be sent together."""
        names = tuple(self.model_outputs)
        made = plan(work, queue.metadata, names, coalesce=queue.policy.coalesce)
        parcels = [(parcel.inputs(), parcel.rows) for parcel in made.parcels]
        answers = [queue.submit(inputs, rows, _as_they_are, self._launched) for inputs, rows in parcels]
        nbytes = sum(wire_size(array) for inputs, _ in parcels for array in inputs.values())
        return asyncio.ensure_future(_results(made, answers, names)), max(1, nbytes)

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
        return queue.submit(inputs, rows, lambda outputs: Answers(outputs, bounds), self._launched), nbytes


def _as_they_are(outputs: dict[str, Array]) -> dict[str, Array]:
    return outputs


async def _results(made: Plan, answers: Sequence[asyncio.Future[Any]], names: Sequence[str]) -> Sequence[Any]:
    return made.results(await asyncio.gather(*answers), names)


class InferenceProducer(InferenceWork, ExternalProducer):
    """A producer whose work is inference: `produce(event, outputs)`, outputs: name -> (rows of the event, ...)."""

    class Config(InferenceWork.Config):
        """The model, and how it is asked."""


class InferenceFilter(InferenceWork, ExternalFilter):
    """A filter whose work is inference: `filter(event, outputs)`, outputs: name -> (rows of the event, ...)."""

    class Config(InferenceWork.Config):
        """The model, and how it is asked."""
