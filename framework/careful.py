"""Showing progress must not harm the job: a display that fails is given up, and the report says so."""

from __future__ import annotations

from collections.abc import Callable

from .report import Progress


class CarefulProgress:
    """Calls a callback with the progress of a job, until the callback fails."""

    def __init__(self, callback: Callable[[Progress], None]) -> None:
        self._callback = callback
        self.warning = ""
        """Why progress is no longer shown; empty if it is."""

    def __call__(self, progress: Progress) -> None:
        """Hand the progress on."""
        if not self.warning:
            try:
                self._callback(progress)
            except Exception as error:
                self.warning = f"progress was not shown to the end: {type(error).__name__}: {error}"
