"""A scan of the toy workflow: clients as processes, on a fake server of known capacity."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from evproc.sonic_client.planning.inputs import gathered, read_reports

from .conftest import WORKFLOWS, Done

TOY = WORKFLOWS / "scan_toy.py"
SETTINGS = ["-o", "source.events=10000", "-o", "work.time=0.01", "--server", "fake", "--service-time", "4ms"]


def test_a_scan(evproc: Callable[..., Done], folder: Path) -> None:
    """Two points give a table, CSV, JSON, pictures, a page, and reports to plan with; nothing goes on."""
    before = psutil.Process().children(recursive=True)
    words = ["scan", TOY, *SETTINGS, "--clients", "1,2", "--seconds", "0.8", "--warm-up", "0.1", "--output", "found"]
    done = evproc(*words)
    assert done.code == 0, done
    assert "[2/2] 2 clients: " in done.err
    rows = list(csv.DictReader((folder / "found" / "scan.csv").read_text().splitlines()))
    assert [row["clients"] for row in rows] == ["1", "2"]
    assert [row["failures"] for row in rows] == ["0", "0"]
    assert all(0 < float(row["throughput"]) <= 1.05 * int(row["clients"]) / 0.014 for row in rows)
    assert all(float(row["latency_median_s"]) >= 0.004 for row in rows)
    assert [float(row["rows_per_request"]) for row in rows] == [10, 10]
    page = (folder / "found" / "scan.html").read_text()
    assert "data:image/png;base64," in page
    assert (folder / "found" / "clients.png").read_bytes().startswith(b"\x89PNG")
    (report,) = (folder / "found" / "reports").glob("c1-*/client-1.json")
    inputs = gathered({}, reports=read_reports([report]))
    assert inputs.t_gpu == pytest.approx(0.004, rel=0.05)
    assert (inputs.streams, inputs.requests) == (pytest.approx(1, abs=0.2), pytest.approx(1, abs=0.05))
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert [child for child in left if "resource_tracker" not in " ".join(child.cmdline())] == []


def test_faults_are_found_before_any_client(fails: Callable[..., str]) -> None:
    """Lists, servers and settings that are wrong are told together, before anything is started."""
    said = fails(2, "scan", TOY, "--clients", "0", "--latency", "2 furlong", "--server", "fak")
    assert all(text in said for text in ("--clients", "furlong", "did you mean 'fake'"))
    assert "is for --server fake" in fails(2, "scan", TOY, "--service-time", "1ms", "--server", "triton")
    said = fails(2, "scan", TOY, "--server", "workflow")
    assert "inference.servers: names no servers" in said
    assert "there is nothing to scan" in fails(2, "scan", WORKFLOWS / "dimuon.py")
