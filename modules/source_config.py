"""The parameters of `NtupleSource`: which files, which events of them, and how events are named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from evproc.framework import Parameter, Source

from .friend_files import Friend
from .source_layout import USUAL_NAMES


class NtupleConfig(Source.Config):
    """Which files, which events of them, and how events are named."""

    files: str | list[str] = Parameter(
        description="files to read: paths, globs, URLs; each may end in `:tree`", min_length=1
    )
    tree: str = Parameter("Events", description="name of the TTree or RNTuple", min_length=1)
    keep: list[str] = Parameter(
        default_factory=lambda: ["*"],
        description="patterns of the branches to offer; `drop PATTERN` leaves out; the last that matches decides",
    )
    max_events: int = Parameter(-1, description="events to read at most; -1 reads all", ge=-1)
    skip_events: int = Parameter(0, description="events to leave out at the begin", ge=0)
    chunk: Annotated[int, Field(ge=1)] | Literal["auto"] = Parameter(
        "auto", description="events read in one go; auto fits the file: about 20,000, or 32 MB", placement=True
    )
    run: str | None = Parameter(
        "auto",
        description="branch with the run number; auto is `run`; empty for none, all events are then of run 1",
    )
    luminosity_block: str | None = Parameter(
        "auto", description="branch with the luminosity block; auto is `luminosityBlock`; empty for none"
    )
    event: str | None = Parameter(
        "auto",
        description="branch with the event number; auto is `event`; empty for none: events are numbered from 0",
    )
    lumi_mask: str | dict[str, list[list[int]]] | None = Parameter(
        None, description='luminosity blocks to process: a certification file of CMS, {"run": [[first, last], ...]}'
    )
    only: str | list[str] = Parameter(
        default_factory=list,
        description="events to process: ranges as `1`, `1:5`, `1:5:77`, `1:5-1:9` (run, luminosity block, event), "
        "or files with one of these a line",
    )
    without: str | list[str] = Parameter(
        default_factory=list, description="events not to process, in the same form; goes before all others"
    )
    duplicates: Literal["off", "file", "job"] = Parameter(
        "off", description="look for events that come twice: not, within each file, or in the whole job"
    )
    on_duplicate: Literal["error", "skip"] = Parameter("error", description="what to do with an event that comes again")
    skip_bad_files: bool = Parameter(
        False, description="skip files, and parts of them, that cannot be read, and report what was lost"
    )
    processed_lumis: str = Parameter(
        "",
        description="file to write the luminosity blocks to that were processed completely, as JSON; `-` for the report only",
        placement=True,
    )
    friends: list[Friend] = Parameter(
        default_factory=list, description="other files with more products of the same events, matched by identity"
    )

    @property
    def identity(self) -> dict[str, str | None]:
        """Part of the identity -> branch, `auto`, or empty for none."""
        return {part: getattr(self, part) for part in USUAL_NAMES}
