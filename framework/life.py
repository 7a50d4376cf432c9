"""The end of modules and services, and their errors outside the events: whoever has begun is ended, whichever fails."""

from __future__ import annotations

from contextlib import suppress

from .configured import Configured
from .errors import ConfigurationError, in_context
from .module import Module
from .process import Process
from .service import Service


async def end_services(process: Process) -> list[Exception]:
    """End all services; one that fails does not keep the others from ending."""
    failures: list[Exception] = []
    for service in process.services.values():
        if not service.faults():
            try:
                await service.end_job()
            except Exception as error:
                failures.append(failure_of(service, "end_job", error))
    return failures


def failure_of(part: Configured, method: str, error: Exception) -> Exception:
    """The error of a module or service outside the events, with its label; chained."""
    if isinstance(error, ConfigurationError):
        return error
    kind = "service" if isinstance(part, Service) else "module"
    return in_context(error, f"{kind} '{part.label}' ({type(part).__name__}) failed in {method}")


def end_modules(modules: list[Module], *, failed: bool) -> None:
    """End all modules, then commit or discard; one that fails does not keep the others from ending."""
    failures: list[Exception] = []
    for module in modules:
        try:
            module.end_job()
        except Exception as error:
            failures.append(failure_of(module, "end_job", error))
    for module in modules:
        try:
            if failed or failures:
                module.discard()
            else:
                module.commit()
        except Exception as error:
            failures.append(failure_of(module, "commit", error))
            with suppress(Exception):
                module.discard()
    if failures and not failed:
        raise failures[0]
