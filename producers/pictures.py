"""What analyzers that draw have in common: their files are looked at before the first event, and declared.

A picture is drawn when the job has ended. That its folder cannot be written to, or that two modules write the same file, is
known before.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from evproc.framework import Analyzer, Fault
from evproc.framework.new_files import directory_problem


class PictureAnalyzer(Analyzer):
    """An analyzer that writes pictures, or tables beside them. A parameter that is empty names none."""

    written: ClassVar[tuple[str, ...]] = ("plot",)
    """The parameters that name files to write."""

    def check(self) -> list[Fault]:
        """Whether the pictures can be drawn."""
        named = {key: name for key in self.written if (name := getattr(self.config, key))}
        if named and find_spec("mplhep") is None:  # asked for, not imported: that takes a second
            return [Fault("plots need the extra `plot`: pip install 'evproc[plot]'", self.label, where=self.where)]
        problems = {key: directory_problem(Path(name)) for key, name in named.items()}
        return [
            Fault(f"cannot draw '{named[key]}': {why}", self.label, key, self.where)
            for key, why in problems.items()
            if why
        ]

    def written_files(self) -> list[str]:
        """The pictures."""
        return [name for key in self.written if (name := getattr(self.config, key))]
