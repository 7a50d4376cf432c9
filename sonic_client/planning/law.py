"""How many clients one server can have, and what they gain: the scaling law of inference as a service.

    t(N) = u + t_server max(0, N/G - u/t_server),     u = (1 - p) t_cpu + t_server + t_network

is the time of one event in a client when N clients share G servers: below saturation, N/G = u/t_server, an event takes
as long as if the client were alone; above it, the servers are always busy and all clients share what they can do. With
u = t_ideal this is, term by term, the law that was fitted to the measurements of a neutrino reconstruction with a GPU
service (arXiv:2009.04509; its published plots): t = (1-p) t_cpu + t_gpu [1 + max(0, N/G - t_ideal/t_gpu)] + t_latency.

Two things are added. A client with several blocks in flight (`streams`) overlaps computing and waiting: it takes
u = max((1-p) t_cpu, t_transmit, t_ideal/streams) for an event instead of t_ideal, so that fewer clients fill a server. And a
network of the servers that all clients share may be full before the servers are: it is one more thing that all share.

The law knows no chance: nobody ever meets another before the servers are full. Near saturation times rise smoothly, as the
simulation beside it shows (`simulation.py`); capacity, and the time far from saturation, are the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from . import units

Time = Annotated[float, BeforeValidator(partial(units.parse, units=units.TIMES)), Field(ge=0, allow_inf_nan=False)]
Size = Annotated[float, BeforeValidator(partial(units.parse, units=units.SIZES)), Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, BeforeValidator(partial(units.parse, units=units.RATES)), Field(gt=0, allow_inf_nan=False)]


class PlanInputs(BaseModel):
    """What is known of a job. Times are seconds, or text with a unit; sizes bytes; rates bits per second."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    t_cpu: Time | None = Field(default=None, description="CPU time of an event without servers, all on the client, s")
    p: float | None = Field(default=None, ge=0, lt=1, description="part of t_cpu that goes to the servers")
    t_rest: Time | None = Field(
        default=None, description="CPU time of an event on the client with servers: (1-p) t_cpu, s"
    )
    t_gpu: Time = Field(gt=0, description="time that an event keeps one server busy, s")
    latency: Time = Field(default=0.0, description="of a request, there and back, without the data's own time, s")
    requests: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="requests of an event; may be below 1")
    bandwidth: Rate | None = Field(default=None, description="of the link of one client, bit/s")
    data: Size = Field(default=0.0, description="of an event, there and back, B")
    server_bandwidth: Rate | None = Field(default=None, description="of the link of all servers together, bit/s")
    servers: int = Field(default=1, ge=1, description="GPUs, or other things that compute one request at a time")
    streams: float = Field(
        default=1.0,
        ge=1,
        allow_inf_nan=False,
        description="blocks of events that a client has in flight, mean; 1: it waits for answers",
    )
    together: bool = Field(
        default=False, description="whether the requests of an event go at the same time, not one after another"
    )

    @model_validator(mode="after")
    def _complete(self) -> PlanInputs:
        if self.t_cpu is not None and self.p is not None and self.t_rest is not None:
            raise ValueError("t_cpu, p and t_rest say one thing too many: t_rest is (1-p) t_cpu")
        if self.t_rest is None and (self.t_cpu is None or self.p is None):
            raise ValueError("needs t_cpu and p, or t_rest, the CPU time of an event on the client")
        if self.p is not None and self.t_cpu is None:
            raise ValueError("p is a part of t_cpu, which is missing")
        return self

    @property
    def t_client(self) -> float:
        """CPU time of an event on the client, (1-p) t_cpu, s."""
        return self.t_rest if self.t_rest is not None else (1 - (self.p or 0.0)) * (self.t_cpu or 0.0)

    @property
    def t_transmit(self) -> float:
        """Time of the data of an event on the client's link, s."""
        return 8 * self.data / self.bandwidth if self.bandwidth else 0.0

    @property
    def t_travel(self) -> float:
        """Latency of the requests of an event, one after another or all together, s."""
        return self.latency * (min(1.0, self.requests) if self.together else self.requests)

    @property
    def t_ideal(self) -> float:
        """Time of an event that meets nobody else, everything one after another, s."""
        return self.t_client + self.t_gpu + self.t_transmit + self.t_travel

    @property
    def t_alone(self) -> float:
        """Time per event of a client that meets nobody else: `t_ideal`, or less where its streams overlap, s."""
        return max(self.t_client, self.t_transmit, self.t_ideal / self.streams)

    @property
    def t_shared(self) -> float:
        """Time for which an event occupies what all clients share: the servers, or their link if it is slower, s."""
        return max(self.t_gpu / self.servers, self.t_server_link)

    @property
    def t_server_link(self) -> float:
        """Time of an event on the link of the servers, s."""
        return 8 * self.data / self.server_bandwidth if self.server_bandwidth else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the law says of a number of clients."""

    clients: int
    event_s: float
    """Time of an event in a client."""
    throughput: float
    """Of all clients together, events/s."""
    speed_up: float | None
    """Over the same clients without servers; None where `t_cpu` is not known."""
    use: float
    """Part of the time for which a server computes."""
    network: float
    """Of all clients together, bit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the law says of a job."""

    t_ideal: float
    t_alone: float
    saturation: float
    """Clients that saturate what they share."""
    clients_per_server: float
    """The same for one server."""
    limited_by: str
    """`servers`, or `network of the servers`."""
    capacity: float
    """The most events per second of all servers."""
    speed_up: float | None
    """Below saturation; None where `t_cpu` is not known."""
    client_network: float
    """Of one client below saturation, bit/s."""
    server_network: float
    """Of all servers at saturation, bit/s."""
    points: tuple[Point, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def event_time(inputs: PlanInputs, clients: float) -> float:
    """t(N) of the law, s."""
    alone, shared = inputs.t_alone, inputs.t_shared
    return alone + shared * max(0.0, clients - alone / shared)


def saturation(inputs: PlanInputs) -> float:
    """The number of clients above which an event takes longer."""
    return inputs.t_alone / inputs.t_shared


def point(inputs: PlanInputs, clients: int) -> Point:
    """What the law says of so many clients."""
    time = event_time(inputs, clients)
    per_second = clients / time if time else inf
    return Point(
        clients=clients,
        event_s=time,
        throughput=per_second,
        speed_up=None if inputs.t_cpu is None else inputs.t_cpu / time,
        use=per_second * inputs.t_gpu / inputs.servers,
        network=8 * inputs.data * per_second,
    )


def predict(inputs: PlanInputs, clients: Sequence[int] = ()) -> Prediction:
    """What the law says of a job, and of these numbers of clients."""
    alone, shared = inputs.t_alone, inputs.t_shared
    return Prediction(
        t_ideal=inputs.t_ideal,
        t_alone=alone,
        saturation=alone / shared,
        clients_per_server=alone / shared / inputs.servers,
        limited_by="network of the servers" if inputs.t_server_link > inputs.t_gpu / inputs.servers else "servers",
        capacity=1 / shared,
        speed_up=None if inputs.t_cpu is None else inputs.t_cpu / alone,
        client_network=8 * inputs.data / alone,
        server_network=8 * inputs.data / shared,
        points=tuple(point(inputs, number) for number in clients),
    )
