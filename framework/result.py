"""What `process.run()` returns: the report of the job, and what its modules hold in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    from .process import Process


class Result(Report):
    """A report, with the live objects that the modules made. `to_dict` and `write` are those of the report alone.

    `result.events`, `result.failed`, `result.outputs` and so on are the report's; a notebook shows it as tables.
    """

    results: dict[str, Mapping[str, Any]]
    """Label -> what the module hands over, `Module.job_results()`; modules that hand over nothing are left out."""

    def __init__(self, report: Report, process: Process) -> None:
        for item in dataclasses.fields(Report):
            setattr(self, item.name, getattr(report, item.name))
        held = {label: module.job_results() for label, module in process.modules.items()}
        self.results = {label: results for label, results in held.items() if results}

    @property
    def histograms(self) -> dict[str, Any]:
        """Name -> histogram (`hist.Hist`). Names that two modules use begin with the label of the module: `label.name`."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for label, results in self.results.items():
            for name, value in results.items():
                if hasattr(value, "axes") and hasattr(value, "values") and hasattr(value, "kind"):
                    found.setdefault(name, []).append((label, value))
        return {
            name if len(same) == 1 else f"{label}.{name}": value
            for name, same in found.items()
            for label, value in same
        }

    @property
    def counts(self) -> dict[str, int]:
        """Label -> events: that pass, for paths and filters; that it was called for, for other modules."""
        modules = {module.label: module.calls if module.passed is None else module.passed for module in self.modules}
        return modules | {path.label: path.passed for path in self.paths}

    def _repr_html_(self) -> str:
        from .notebook import result_html

        return result_html(self)
