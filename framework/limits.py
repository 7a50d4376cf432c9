"""What limits a job: one line, from where the time went."""

from __future__ import annotations

from .report import Report


def limit_line(report: Report) -> str:
    """One line that says what limits the job, and what would make it faster."""
    wall = report.wall_s
    if not report.events:
        return "No events were processed."
    if wall <= 0:
        return "The job was too short to tell what limits it."
    external, reading = report.waiting_external_s / wall, report.waiting_input_s / wall
    busy = report.busy_s / wall
    largest = max(external, reading, busy)
    if largest == busy:
        return f"Limited by the CPU of this process, {busy:.0%} of the time busy: {_busiest(report)}."
    if largest == reading:
        return f"Limited by the input: {reading:.0%} of the time went by waiting for the next chunk to be read."
    return f"Limited by external work: {external:.0%} of the time went by waiting for answers{_servers(report)}."


def _busiest(report: Report) -> str:
    """What takes most of the time of a busy process."""
    modules = [module for module in report.modules if module.kind != "source"]
    slowest = max(modules, key=lambda module: module.cpu_s, default=None)
    inside = sum(module.cpu_s for module in modules)
    between = max(0.0, report.busy_s - report.moving_s - inside)
    share = 1.0 / report.wall_s
    if report.moving_s > max(inside, between):
        return f"packing, sending and receiving requests takes {report.moving_s * share:.0%}"
    if between > inside:
        return f"the engine, beside reading, takes {between * share:.0%}; its modules take {inside * share:.0%}"
    assert slowest is not None
    return f"module '{slowest.label}' takes {slowest.cpu_s * share:.0%}"


def _servers(report: Report) -> str:
    """What the services say about the model that was waited for most."""
    models = [model for service in report.services.values() for model in service.get("models", [])]
    if not models:
        return ""
    slowest = max(models, key=lambda model: float(model.get("latency_total_s", 0.0)))
    hint = slowest.get("limit", "")
    return f", of model '{slowest['model']}' mostly{f'; {hint}' if hint else ''}"
