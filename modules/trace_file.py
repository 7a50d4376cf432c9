"""A file of trace events that is whole at any time, and never larger than it may be.

The form is Google's "Trace Event Format": a JSON object whose `traceEvents` is a list of objects with `ph` (what it is), `ts`
and `dur` (microseconds), `pid` and `tid` (the track). Perfetto (ui.perfetto.dev) and chrome://tracing open it.

Events are kept as text until there are 64 kB of them, then written together with the end of the list; the next go over that
end. So what is on the disk is JSON that can be opened, also while the job runs and after it was killed. When the file has
reached its limit no more is taken, except what ends slices that have begun: room for that is kept.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

BUFFER = 1 << 16
"""Text that is kept before it is written, bytes."""
RESERVE = 1 << 18
"""Room for the ends of slices, bytes."""
HEAD = '{"displayTimeUnit": "ms", "traceEvents": [\n'
TAIL = "\n]}\n"

quoted = lru_cache(maxsize=4096)(json.dumps)


class TraceFile:
    """A trace that is being written. `limit` is in bytes. Raises OSError where a file does."""

    def __init__(self, path: Path, limit: int) -> None:
        self.events = 0
        self._limit = limit
        self._file = path.open("wb")
        self._lines: list[str] = []
        self._waiting = 0
        self._size = self._file.write(HEAD.encode())
        self._file.write(TAIL.encode())

    @property
    def full(self) -> bool:
        """Whether no more slices should begin."""
        return self._size + self._waiting + RESERVE > self._limit

    @property
    def nbytes(self) -> int:
        """Size of the file, with what waits to be written."""
        return self._size + self._waiting + len(TAIL)

    def complete(self, name: str, category: str, pid: int, tid: int, begin: float, end: float, args: str = "") -> None:
        """A slice. Times are microseconds; `args` is the text of a JSON object, without its braces."""
        self._add(
            f'{{"ph": "X", "name": {quoted(name)}, "cat": "{category}", "pid": {pid}, "tid": {tid}, '
            f'"ts": {begin:.3f}, "dur": {max(0.0, end - begin):.3f}, "args": {{{args}}}}}'
        )

    def begin(self, name: str, category: str, number: int, pid: int, time: float, args: str = "") -> None:
        """The begin of an asynchronous slice; `number` and the category name it."""
        self._async("b", name, category, number, pid, time, args)

    def end(self, name: str, category: str, number: int, pid: int, time: float, args: str = "") -> None:
        """The end of an asynchronous slice."""
        self._async("e", name, category, number, pid, time, args)

    def _async(self, phase: str, name: str, category: str, number: int, pid: int, time: float, args: str) -> None:
        self._add(
            f'{{"ph": "{phase}", "name": {quoted(name)}, "cat": "{category}", "id": "{category}-{number}", '
            f'"pid": {pid}, "tid": 0, "ts": {time:.3f}, "args": {{{args}}}}}'
        )

    def counter(self, name: str, pid: int, time: float, unit: str, value: float) -> None:
        """The value of something at a moment."""
        self._add(
            f'{{"ph": "C", "name": {quoted(name)}, "pid": {pid}, "tid": 0, "ts": {time:.3f}, '
            f'"args": {{{quoted(unit)}: {value:.6g}}}}}'
        )

    def instant(self, name: str, pid: int, time: float) -> None:
        """A mark through a whole process."""
        self._add(
            f'{{"ph": "i", "s": "p", "name": {quoted(name)}, "cat": "note", "pid": {pid}, "tid": 0, "ts": {time:.3f}}}'
        )

    def name(self, what: str, pid: int, tid: int, value: Any) -> None:
        """Metadata: `process_name`, `thread_name`, or their `_sort_index`."""
        key = "sort_index" if what.endswith("sort_index") else "name"
        self._add(json.dumps({"ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": {key: value}}))

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._waiting += len(line) + 2
        self.events += 1
        if self._waiting > BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._lines:
            return
        text = (",\n" if self._size > len(HEAD) else "") + ",\n".join(self._lines)
        self._file.seek(self._size)
        self._file.write((text + TAIL).encode())
        self._file.flush()
        self._size += len(text)
        self._lines.clear()
        self._waiting = 0

    def close(self) -> None:
        """Write what waits, and close."""
        try:
            self.flush()
        finally:
            self._file.close()
