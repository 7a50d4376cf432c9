"""perf_analyzer, Triton's load generator in C++: where it is, how it gets there, and running it.

The package of that name on PyPI is empty. The program is in the wheel of tritonclient 2.51.0, and needs two libraries that
the wheel of the embedded Triton has under other names. pip puts the wheel, without its dependencies, into evproc's data
folder; nothing of it is imported.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from evproc.sonic_client.triton_wheel import data_folder, locate

REQUIREMENT = "tritonclient==2.51.0"
LIBRARIES = {"libb64": "libb64.so.0d", "libcudart": "libcudart.so.12"}
"""How the names of libraries begin in the wheel of Triton, and what the program calls them."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests without a pause, so many at a time."""

    concurrency: int
    shared_memory: bool


def install() -> Path:
    """The program, fetched if it is not there. Raises SystemExit with pip's words if that fails."""
    folder = data_folder() / "perf_analyzer" / REQUIREMENT.replace("==", "-")
    program = folder / "bin" / "perf_analyzer"
    if not program.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".perf_analyzer-", dir=folder.parent))
        try:
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-deps"]
            command += ["--only-binary", ":all:", "--no-compile", "--target", str(staging), REQUIREMENT]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(
                    f"pip could not fetch {REQUIREMENT}, which carries perf_analyzer:\n{done.stderr.strip()}"
                )
            (staging / "libraries").mkdir()
            for begin, name in LIBRARIES.items():
                (found,) = locate().libraries.glob(f"{begin}-*")
                (staging / "libraries" / name).symlink_to(found)
            if not folder.is_dir():
                staging.rename(folder)
        finally:
            rmtree(staging, ignore_errors=True)
    return program


def rows_per_second(url: str, model: str, rows: int, load: Load, requests: int) -> float:
    """The rate of `requests` requests of `rows` rows each, as perf_analyzer measures it. Raises SystemExit if it fails."""
    program = install()
    libraries = [program.parent.parent / "libraries", locate().libraries]
    with tempfile.TemporaryDirectory(prefix="evproc-perf-") as folder:
        table = Path(folder) / "rates.csv"
        command = [str(program), "-m", model, "-u", url.removeprefix("grpc://"), "-i", "grpc", "-b", str(rows)]
        command += [
            "--concurrency-range",
            str(load.concurrency),
            "--request-count",
            str(max(requests, 2 * load.concurrency)),
        ]
        command += [
            "--shared-memory",
            "system" if load.shared_memory else "none",
            "--output-shared-memory-size",
            str(4 * rows),
        ]
        command += ["--input-data", "random", "-f", str(table)]
        environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
        if done.returncode or not table.exists():
            raise SystemExit(f"perf_analyzer has failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
        (row,) = csv.DictReader(table.read_text().splitlines())
        return float(row["Inferences/Second"])
