"""Analyzers that draw: their files are looked at before the first event."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest

from evproc.framework import Columns, ConfigurationError, EndPath, Parameter, Process
from evproc.framework.new_files import in_one_step
from evproc.modules import ArraySource
from evproc.producers.pictures import PictureAnalyzer


class Pictures(PictureAnalyzer):
    """Writes two files when the job ends."""

    class Config(PictureAnalyzer.Config):
        """Their names."""

        plot: str = Parameter("", description="a picture; empty: none")
        table: str = Parameter("", description="a table; empty: none")

    config: Config
    written = ("plot", "table")

    def analyze(self, columns: Columns) -> None:
        """Look at nothing."""

    def commit(self) -> None:
        """Write the names that are there."""
        for name in self.written_files():
            with in_one_step(name) as part:
                part.write_text(name, encoding="utf-8")


def process_with(**names: FilePath) -> Process:
    """One analyzer that writes these."""
    process = Process("P")
    process.source = ArraySource({"x": [1.0, 2.0]})
    process.one = Pictures(**{key: str(name) for key, name in names.items()})
    process.end = EndPath(process.one)
    return process


def test_files_are_written_below_folders_that_were_not_there(tmp_path: FilePath) -> None:
    """And nothing else is left."""
    process_with(plot=tmp_path / "new" / "deep" / "a.png").run()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "new" / "deep" / "a.png"]


def test_two_analyzers_that_draw_one_picture_are_a_fault(tmp_path: FilePath) -> None:
    """Also if they name it differently."""
    process = process_with(plot=tmp_path / "a.png")
    process.other = Pictures(table=str(tmp_path / "a.png"))
    process.last = EndPath(process.other)
    with pytest.raises(ConfigurationError, match=r"writes '.*a\.png', and 'o\w+' writes the same file"):
        process.run()
    assert not list(tmp_path.iterdir())


def test_all_files_that_cannot_be_are_told_together(tmp_path: FilePath) -> None:
    """A folder is no picture, and there is nothing below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as raised:
        process_with(plot=tmp_path, table=tmp_path / "file" / "a.txt").run()
    below = tmp_path / "file" / "a.txt"
    assert [(fault.label, fault.key, fault.message) for fault in raised.value.faults] == [
        ("one", "plot", f"cannot draw '{tmp_path}': '{tmp_path}' is a directory"),
        ("one", "table", f"cannot draw '{below}': '{tmp_path}/file' is a file, so there can be no '{below}' below it"),
    ]


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: FilePath) -> None:
    """Neither under its name, where the old one stays, nor under another."""
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def half(path: FilePath) -> None:
        with in_one_step(path) as part:
            part.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half(path)
    assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == ["old"]
