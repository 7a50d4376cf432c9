"""What a plan starts from: options, a file in YAML or JSON, reports of jobs; what is said later and closer wins.

From the report of a job with a server (`evproc run --report`):

    t_rest      (wall_s - waiting_external_s) / events: the time in which the client did not wait for answers
    t_gpu       what the server says that it computed, for the requests of an event
    latency     the time of a request without what the server says that it took: packing, the network, unpacking; an event's
                requests go together
    data        bytes sent and received for an event; their time on the network is in the latency already
    streams     how much of all that overlaps: t_ideal / (wall_s / events), so that t_alone is what was measured

Servers count for all their clients: the report should be of a job that was alone on its servers, or t_gpu is a mean of
others' requests too. The report of a job without servers, or with one on its own CPU, gives t_cpu, and so the speed-up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evproc.framework.errors import ConfigurationError, Fault, InputError, did_you_mean
from evproc.framework.report import Report

from .law import PlanInputs


def gathered(
    options: Mapping[str, Any],
    file: Path | None = None,
    reports: Sequence[Report] = (),
    without: Report | None = None,
) -> PlanInputs:
    """The inputs of a plan: of reports, then of a file, then of options; `without` is the report of a job without servers.

    Raises InputError if the file cannot be read, ConfigurationError with all that is wrong or missing.
    """
    values: dict[str, tuple[Any, str]] = {}
    if reports:
        _take(values, from_reports(reports), "the reports")
    if without is not None:
        if not without.events:
            raise InputError("the report of the job without servers has no events")
        _take(values, {"t_cpu": without.wall_s / without.events}, "the report of the job without servers")
    if file is not None:
        _take(values, read_file(file), f"'{file}'")
    _take(values, {name: value for name, value in options.items() if value is not None}, "the options")
    return checked(
        {name: value for name, (value, _) in values.items()}, {name: said for name, (_, said) in values.items()}
    )


def _take(values: dict[str, tuple[Any, str]], new: Mapping[str, Any], where: str) -> None:
    """New values replace old ones, and those that say the same in other words."""
    if "t_rest" in new:
        values.pop("p", None)
    if "p" in new:
        values.pop("t_rest", None)
    values.update({name: (value, where) for name, value in new.items()})


def checked(values: Mapping[str, Any], where: Mapping[str, str] | None = None) -> PlanInputs:
    """The inputs. Raises ConfigurationError with all that is wrong; `where` says where each value comes from."""
    try:
        return PlanInputs.model_validate(dict(values))
    except ValidationError as error:
        faults = []
        for found in error.errors():
            name = str(found["loc"][0]) if found["loc"] else ""
            said = found["msg"].removeprefix("Value error, ")
            if found["type"] == "extra_forbidden":
                said = f"there is no '{name}'{did_you_mean(name, PlanInputs.model_fields)}"
            elif found["type"] == "missing":
                said = f"is missing: {PlanInputs.model_fields[name].description}"
            elif name and not isinstance(found["input"], str):
                said = f"{said}, not {found['input']}"
            faults.append(Fault(said, "plan", name, (where or {}).get(name, "")))
        raise ConfigurationError(faults) from None


def read_file(path: Path) -> dict[str, Any]:
    """The values of a file in YAML or JSON. Raises InputError."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"'{path}' is neither YAML nor JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"'{path}' holds no names and values, as `t_gpu: 1.77 s`")
    return {str(name): value for name, value in found.items()}


def read_reports(paths: Iterable[Path]) -> list[Report]:
    """The reports of jobs. Raises InputError."""
    from evproc.framework.report_form import read_report

    return [read_report(path) for path in paths]


def from_reports(reports: Sequence[Report]) -> dict[str, Any]:
    """What reports of jobs with servers say: the mean over all their events. Raises InputError."""
    events = sum(report.events for report in reports)
    wall = sum(report.wall_s for report in reports)
    if not events or not wall:
        raise InputError("the reports have no events")
    waiting = sum(report.waiting_external_s for report in reports)
    requests = data = compute = inside = total = 0.0
    silent: list[str] = []
    for model in (model for report in reports for model in _models(report)):
        number = model["requests"]
        requests += number
        total += model["latency_total_s"]
        data += model.get("sent_bytes", 0) + model.get("received_bytes", 0)
        computing, queueing = model.get("server_compute_s"), model.get("server_queue_s")
        if number and computing is None:
            silent.append(f"{model['model']} on {model['server']}")
        compute += number * (computing or 0.0)
        inside += number * ((computing or 0.0) + (queueing or 0.0))
    if not requests:
        raise InputError("the reports have no requests to a server: is it the report of a job with inference?")
    rest = max(0.0, wall - waiting) / events
    values: dict[str, Any] = {"t_rest": rest, "requests": requests / events, "data": data / events, "together": True}
    if not silent:
        latency = max(0.0, total - inside) / requests
        ideal = rest + compute / events + latency * min(1.0, requests / events)
        values |= {"t_gpu": compute / events, "latency": latency, "streams": max(1.0, ideal * events / wall)}
    return values


def _models(report: Report) -> list[dict[str, Any]]:
    """The figures of models, of all services of a report."""
    return [model for service in report.services.values() for model in service.get("models") or ()]


def to_json(inputs: PlanInputs) -> dict[str, Any]:
    """The inputs as plain data, and what follows of them."""
    derived = {name: getattr(inputs, name) for name in ("t_client", "t_transmit", "t_travel", "t_ideal", "t_alone")}
    return {"given": json.loads(inputs.model_dump_json()), "derived": derived}
