"""What limits a job: one line, from where the time went."""

from __future__ import annotations

from .report import Report

SHARE = 0.10
"""A share of the wall time below this is not worth a word."""


def limit_line(report: Report) -> str:
    """One line that says what limits the job, and what would make it faster."""
    wall = report.wall_s
    if not report.events:
        return "No events were processed."
    if wall <= 0:
        return "The job was too short to tell what limits it."
    external, reading, busy = (
        part / wall for part in (report.waiting_external_s, report.waiting_input_s, report.busy_s)
    )
    largest = max(external, reading, busy)
    if largest == busy:
        modules = [module for module in report.modules if module.cpu_s > 0]
        slowest = max(modules, key=lambda module: module.cpu_s, default=None)
        inside = sum(module.cpu_s for module in modules)
        if slowest is None or inside < 0.5 * report.busy_s:
            return f"Limited by the CPU of this process ({busy:.0%} of the time busy), mostly outside the modules: use larger blocks."
        share = slowest.cpu_s / wall
        return (
            f"Limited by the CPU of this process ({busy:.0%} of the time busy): "
            f"module '{slowest.label}' takes {share:.0%} of the time."
        )
    if largest == reading:
        return f"Limited by the input: {reading:.0%} of the time went by waiting for the next chunk to be read."
    return f"Limited by external work: {external:.0%} of the time went by waiting for answers{_servers(report)}."


def _servers(report: Report) -> str:
    """What the services say about the model that was waited for most."""
    models = [model for service in report.services.values() for model in service.get("models", [])]
    if not models:
        return ""
    slowest = max(models, key=lambda model: float(model.get("latency_total_s", 0.0)))
    hint = slowest.get("limit", "")
    return f", of model '{slowest['model']}' mostly{f'; {hint}' if hint else ''}"
