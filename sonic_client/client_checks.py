"""What can be wrong with how a module wants its model asked, beside the tensors: found before the first event."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from evproc.framework import ExceptionPolicy
from evproc.framework.errors import EventSkipped, did_you_mean
from evproc.framework.exception_policy import Action

from .default_outputs import unfillable
from .retry import Custom, DefaultValue, SkipEvent

if TYPE_CHECKING:
    from evproc.framework import Process

    from .producer import InferenceWork
    from .tensors import ModelMetadata

NO_POLICY = (
    "SkipEvent needs a policy that says what becomes of skipped events: "
    "process.policy = ExceptionPolicy(try_to_continue=['EventSkipped'])"
)


def client_faults(
    module: InferenceWork, metadata: ModelMetadata | None, process: Process | None, servers: Collection[str]
) -> Iterator[tuple[str, str]]:
    """(parameter, what is wrong with it). `servers`: names and addresses that the service knows."""
    client = module.config.client
    for name in client.prefer:
        if name not in servers:
            known = did_you_mean(name, servers) or f"; there are {', '.join(sorted(servers)) or 'none'}"
            yield "client.prefer", f"no server is called '{name}'{known}"
    for action in client.retry or ():
        if isinstance(action, Custom):
            try:
                action.load()
            except ValueError as error:
                yield "client.retry", str(error)
        elif isinstance(action, DefaultValue) and metadata is not None:
            wrong = unfillable(action.value, metadata, tuple(module.model_outputs))
            if wrong:
                yield "client.retry", f"DefaultValue: {wrong} (model '{client.model}')"
        elif isinstance(action, SkipEvent) and process is not None and not _skips(process, module.label):
            yield "client.retry", NO_POLICY


def _skips(process: Process, label: str) -> bool:
    """Whether a policy of the process goes on behind skipped events of a module."""
    policies = [service for service in process.services.values() if isinstance(service, ExceptionPolicy)]
    return any(policy.rules().action(label, EventSkipped("")) is not Action.RETHROW for policy in policies)
