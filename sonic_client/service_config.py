"""The parameters of the inference service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from evproc.framework import Block, Parameter, Service

from .circuit import CircuitBreaker
from .connection import Connection
from .local_service import LocalService


class Fallback(Block):
    """A Triton server of the job's own, started when a model has no other server, and stopped with the job."""

    models: str = Parameter(description="folder of the model repository")
    threads: int = Parameter(1, description="threads that one model computes on", placement=True, ge=1)
    log: str = Parameter("", description="file for the log; empty: kept only if the server fails", placement=True)
    start_timeout: float = Parameter(
        60.0, description="time for the server to be ready", unit="s", placement=True, gt=0
    )


class ServiceConfig(Service.Config):
    """Servers and limits."""

    servers: list[str] = Parameter(
        default_factory=list,
        description="addresses, as grpc://gpu1.example.org:8001, perhaps with a name before it: near=grpc://...",
        placement=True,
    )
    servers_file: str = Parameter(
        "", description="file of more addresses, one a line; read again when it changes", placement=True
    )
    environment: bool = Parameter(
        True,
        description="whether EVPROC_SERVERS and SONIC_LOCAL_BALANCER_HOST and _PORT name servers too",
        placement=True,
    )
    fallback: Fallback | None = Parameter(
        None, description="server to start for models that no server has", placement=True
    )
    local: list[LocalService] = Parameter(
        default_factory=list,
        description="services to start for models that no server has: commands that say where they listen",
        placement=True,
    )
    in_flight: Annotated[int, Field(ge=1)] | Literal["auto"] = Parameter(
        "auto",
        description="requests under way to one server, at most; auto finds how many are worth it",
        placement=True,
    )
    largest_in_flight: int = Parameter(256, description="the most that auto comes to", placement=True, ge=2)
    wait: float = Parameter(
        0.0, description="for servers that are not there yet, before the first event", unit="s", placement=True, ge=0
    )
    poll: float = Parameter(
        5.0,
        description="time between two polls of the servers' health, which also find new ones; 0: none",
        unit="s",
        placement=True,
        ge=0,
    )
    load_models: bool = Parameter(
        False, description="whether servers are asked to load models that they have not loaded", placement=True
    )
    balancing: Literal["least_outstanding", "round_robin", "fastest"] = Parameter(
        "least_outstanding", description="how a server is chosen for each request", placement=True
    )
    circuit: CircuitBreaker = Parameter(
        default_factory=CircuitBreaker,
        description="when a server that fails is left alone, for each model",
        placement=True,
    )
    retry_share: float = Parameter(
        0.2, description="retries of the whole job, as a part of its requests, at most", placement=True, ge=0
    )
    retries: int = Parameter(
        1000, description="retries of the whole job that are allowed beside that", placement=True, ge=0
    )
    shared_memory: bool | Annotated[str, StringConstraints(pattern=r"^(system|cuda(:\d+)?)$")] = Parameter(
        True,
        description="how tensors go to a server on this machine: true or system, by memory that both map; cuda or "
        "cuda:1, by that of a GPU; false, by the socket",
        placement=True,
    )
    connection: Connection = Parameter(
        default_factory=Connection,
        description="how the servers are spoken to: certificates, tokens, headers, compression, traces",
        placement=True,
    )
    connect_timeout: float = Parameter(
        5.0, description="for a server to say what it has", unit="s", placement=True, gt=0
    )
