"""Which files a source reads, and whether they can be ROOT files at all.

The header of a ROOT file says where the file ends. Holding that against the size of the file finds nearly every truncated
copy before anything is read from it, and costs one read of 64 bytes; libraries that open such a file fail in many odd ways.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evproc.framework.errors import InputError, did_you_mean

_WITH_TREE = re.compile(r"^(?P<file>.+\.root(\?[^:]*)?):(?P<tree>[^:]+)$")
_LONG_FILE = 1_000_000
"""Added to the version in the header of files with 64-bit addresses."""


class RemoteError(OSError):
    """The network or a server failed, after all tries; the text says how."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file and the tree to read from it."""

    path: str
    tree: str

    @property
    def is_remote(self) -> bool:
        """Whether it is reached through a protocol as `root://` or `https://`."""
        return "://" in self.path

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.path


def expand_files(files: Sequence[str], tree: str) -> list[InputFile]:
    """The files of a list that may hold globs, URLs with `*` and a trailing `:tree`; those of one glob sorted by name.

    Raises InputError for a glob that matches nothing and for a list that is empty.
    """
    found: list[InputFile] = []
    for entry in files:
        path, inner = entry, tree
        match = _WITH_TREE.match(entry)
        if match and not Path(entry).exists():
            path, inner = match["file"], match["tree"]
        if is_pattern(path):
            from .remote_source import matches as remote_matches

            there = remote_matches(path)
            if not there:
                raise InputError(f"no file matches '{path}', as far as the server lists its files")
            found.extend(InputFile(match, inner) for match in there)
        elif "://" not in path and any(mark in path for mark in "*?[") and not Path(path).exists():
            matches = sorted(glob.glob(str(Path(path).expanduser()), recursive=True))  # noqa: PTH207 - absolute patterns too
            if not matches:
                raise InputError(f"no file matches '{path}'")
            found.extend(InputFile(match, inner) for match in matches)
        else:
            found.append(InputFile(path if "://" in path else str(Path(path).expanduser()), inner))
    if not found:
        raise InputError("the list of input files is empty")
    return found


def is_pattern(url: str) -> bool:
    """Whether a URL stands for several files. A question mark begins a query, and brackets may be in the name of the host."""
    _, marker, rest = url.partition("://")
    return bool(marker) and "*" in rest


def check_header(path: str) -> None:
    """Raise InputError unless a local file is there, is ROOT, and is as long as its header says."""
    place = Path(path)
    if place.is_dir():
        raise InputError(f"'{path}' is a directory, not a ROOT file")
    try:
        size = place.stat().st_size
        with place.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'{near_files(place)}") from None
    except OSError as error:
        raise InputError(f"file '{path}' cannot be opened: {error.strerror}") from error
    check_head(head, size, path)


def check_head(head: bytes, size: int, path: str) -> None:
    """Raise InputError unless the first 64 bytes of a file are those of a ROOT file of this size, in bytes."""
    if head[:4] != b"root":
        what = "it is empty" if not size else f"it begins with {head[:4]!r}, not with b'root'"
        raise InputError(f"file '{path}' is not a ROOT file: {what}")
    if len(head) < 20:
        raise InputError(f"file '{path}' is truncated: it has only {size} bytes")
    version = int.from_bytes(head[4:8], "big")
    end = int.from_bytes(head[12:20] if version >= _LONG_FILE else head[12:16], "big")
    if end > size:
        raise InputError(f"file '{path}' is truncated: it should have {end} bytes, and has {size}")


def near_files(place: Path) -> str:
    """The nearest names in the directory of a missing file."""
    if not place.parent.is_dir():
        return f"; there is no directory '{place.parent}' either"
    return did_you_mean(place.name, (item.name for item in place.parent.iterdir()))
