"""The file with the luminosity blocks that a job has processed completely, in the form of CMS certification files."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from evproc.framework import OutputError
from evproc.framework.input_report import Lumis

from .new_files import directory_problem, make_directory, part_path

REPORT_ONLY = "-"


class LumiFile:
    """A file that exists under its name only when the job has ended well."""

    def __init__(self, name: str) -> None:
        self.path = Path(name).expanduser() if name and name != REPORT_ONLY else None

    def problem(self) -> str:
        """Why it cannot be written; empty if it can."""
        return "" if self.path is None else directory_problem(self.path)

    def write(self, lumis: Lumis) -> None:
        """Write it and give it its name. Raises OutputError."""
        if self.path is None:
            return
        make_directory(self.path)
        part = part_path(self.path)
        try:
            part.write_text(json.dumps(lumis, indent=1) + "\n")
            part.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(f"'{self.path}' cannot be written: {error.strerror}") from error
