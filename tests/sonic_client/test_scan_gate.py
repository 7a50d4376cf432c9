"""The gate of a client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evproc.framework import Analyzer, Event, Parameter, Process
from evproc.framework.errors import InternalError
from evproc.sonic_client.scanning import gate


class Draws(Analyzer):
    """Writes two files; says so of one of them."""

    class Config(Analyzer.Config):
        """The files."""

        file: str = Parameter("found.txt", description="text")
        plot: str = Parameter("found.png", description="picture")
        note: str = Parameter("found", description="no file")

    config: Config

    def written_files(self) -> list[str]:
        return [self.config.file]

    def analyze(self, event: Event) -> None:
        """Nothing."""


def test_files_of_clients_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module writes goes to the folder of its client, named by its label; other parameters stay."""
    process = Process("P")
    process.draws = Draws()
    with pytest.raises(InternalError, match="no client of a scan"):
        gate.add_gate(process)
    descriptors = os.pipe()
    monkeypatch.setattr(gate, "place", gate.Place(*descriptors, tmp_path / "times", tmp_path))
    gate.add_gate(process)
    found = process.draws.config
    assert [found.file, found.plot, found.note] == [
        str(tmp_path / "draws-found.txt"),
        str(tmp_path / "draws-found.png"),
        "found",
    ]
    for descriptor in descriptors:
        os.close(descriptor)
