"""Files that a job writes: two parts of a process that write the same one are a fault before the first event.

Each part says which files it writes (`written_files`). Without this, the later of two outputs would replace the earlier, or
fail when all the events have been processed.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Fault

if TYPE_CHECKING:
    from .configured import Configured
    from .process import Process


def written_twice(process: Process, running: Container[str]) -> list[Fault]:
    """Parts that write a file that another writes, too: of the modules, those that run, and the source."""
    parts: list[Configured] = [
        part for label, part in process.modules.items() if label in running or part is process.source_module
    ]
    writers: dict[Path, str] = {}
    faults = []
    for part in [*parts, *process.services.values()]:
        for name in part.written_files() if not part.faults() else ():
            path = Path(name).expanduser().resolve()
            other = writers.setdefault(path, part.label)
            if other != part.label:
                faults.append(
                    Fault(f"writes '{name}', and '{other}' writes the same file", part.label, where=part.where)
                )
    return faults
