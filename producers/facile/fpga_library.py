"""The FPGA design of FACILE by hls4ml, compiled for this machine: bit for bit what the FPGA would answer.

    python -m evproc.producers.facile.fpga_library                                  # into evproc's data folder
    python -m evproc.producers.facile.fpga_library --output models/facile_fpga/1    # and a version of the model

hls4ml writes the design as C++ with the vendor's fixed-point types, whose reference implementation in software answers as the
synthesised hardware does. No FPGA tool is needed, only g++. The front end is not hls4ml's ONNX reader (which wants the
network cleaned by qonnx first) but its own list of layers, the form that every front end of hls4ml ends in: three entries a
layer.

Compiling is a set-up step: 3 to 4 s of one core with `-O1`, which also runs the fastest (`-O3`, hls4ml's default, compiles
longer for code that is a third slower here). The answers are whole numbers and depend on no option. The library is kept in
the data folder under a name made of all that it is made of: the design, types, sources, hls4ml's version and the
compiler's; it appears there whole, by renaming, and two that want it at once wait for one.

    $EVPROC_DATA_DIR, else $XDG_DATA_HOME/evproc, else ~/.local/share/evproc
        fpga/facile-1f0c....so

Weights are compiled in, so the library needs no other file.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evproc.framework.errors import ServerUnavailable
from evproc.framework.new_files import in_one_step
from evproc.sonic_client.triton_wheel import data_folder

from .fpga_design import INPUTS, FixedDesign, shipped_design

WORD = "ap_fixed<16,6>"
RESULT = "ap_fixed<16,6,AP_RND,AP_SAT>"
SUM = "ap_fixed<40,20>"
NAME = "facile"
SOURCE = Path(__file__).with_name("fpga_words.cpp")
BACKEND = Path(__file__).parent / "fpga_backend" / "model.py"
COMPILER = "g++"
FLAGS = ("-O1", "-std=c++11", "-fPIC", "-shared", "-fno-gnu-unique", "-fno-exceptions", "-Wno-unknown-pragmas")
"""Two libraries in one process must not share static variables, hence -fno-gnu-unique, as hls4ml has it. Nothing throws, and
compiling takes two thirds of the time when that is said."""


def hls_graph(design: FixedDesign, folder: Path) -> Any:
    """hls4ml's graph of a design (Vitis, fully unrolled, one channel a clock), to be written into `folder`.

    Raises ServerUnavailable if hls4ml is not installed.
    """
    try:
        from hls4ml.model.graph import ModelGraph
    except ModuleNotFoundError as error:
        raise ServerUnavailable(f"{error}: the emulation of the FPGA needs it; pip install 'evproc[fpga]'") from error

    layers: list[dict[str, Any]] = [{"name": "words", "class_name": "InputLayer", "input_shape": [len(INPUTS)]}]
    precisions: dict[str, Any] = {"words": {"Precision": {"result": WORD}}}
    last = len(design.layers)
    for number, layer in enumerate(design.layers, start=1):
        name = f"dense{number}"
        layers.append(
            {
                "name": name,
                "class_name": "Dense",
                "inputs": [layers[-1]["name"]],
                "n_in": layer.weights.shape[0],
                "n_out": layer.weights.shape[1],
                "weight_data": layer.weights / 1024.0,
                "bias_data": layer.biases / 1024.0,
                "use_bias": True,
            }
        )
        precisions[name] = {"Precision": {"weight": WORD, "bias": WORD, "accum": SUM, "result": RESULT}}
        if number < last:
            relu = f"relu{number}"
            layers.append({"name": relu, "class_name": "Activation", "activation": "relu", "inputs": [name]})
            precisions[relu] = {"Precision": {"result": RESULT}}
    settings = {
        "Backend": "Vitis",
        "ProjectName": NAME,
        "OutputDir": str(folder),
        "Part": "xcu250-figd2104-2L-e",
        "ClockPeriod": 5,
        "ClockUncertainty": "12.5%",
        "IOType": "io_parallel",
        "HLSConfig": {
            "Model": {"Precision": {"default": WORD}, "ReuseFactor": 1, "Strategy": "Latency"},
            "LayerName": precisions,
        },
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both"},
    }
    return ModelGraph.from_layer_list(settings, layers, ["words"], [f"dense{last}"])


def library_path(design: FixedDesign) -> Path:
    """Where the library of a design is kept. Raises ServerUnavailable if hls4ml or the compiler is missing."""
    try:
        hls4ml = version("hls4ml")
    except PackageNotFoundError:
        raise ServerUnavailable(
            "hls4ml is not installed: the emulation of the FPGA needs it; pip install 'evproc[fpga]'"
        ) from None
    try:
        compiler = subprocess.run([COMPILER, "-dumpfullversion"], capture_output=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerUnavailable(f"the emulation of the FPGA is compiled with {COMPILER}: {error}") from error
    made_of = [design.to_json(), SOURCE.read_text(encoding="utf-8"), repr((WORD, RESULT, SUM, COMPILER, *FLAGS))]
    made_of += [hls4ml, compiler.decode()]
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    return data_folder() / "fpga" / f"{NAME}-{digest}.so"


def compiled(design: FixedDesign | None = None) -> Path:
    """The library of a design, compiled if it is not there yet. Raises ServerUnavailable if that is not possible."""
    design = design or shipped_design()
    path = library_path(design)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix="evproc-fpga-") as folder, in_one_step(path) as part:
                _compile(design, Path(folder), part)
    return path


def _compile(design: FixedDesign, folder: Path, output: Path) -> None:
    """Write the design, and compile it with hls4ml's bridge to Python and ours."""
    hls_graph(design, folder).write()
    whole = folder / "whole.cpp"
    whole.write_text(
        f'#include "firmware/{NAME}.cpp"\n#include "{NAME}_bridge.cpp"\n{SOURCE.read_text(encoding="utf-8")}'
    )
    words = [COMPILER, *FLAGS, f"-DEVPROC_INPUTS={len(INPUTS)}", '-DWEIGHTS_DIR=""', "-Ifirmware/ap_types", "-I."]
    done = subprocess.run(  # noqa: S603 - our own words
        [*words, whole.name, "-o", str(output)], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        wrong = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-500:])
        raise ServerUnavailable(f"the emulation of the FPGA cannot be compiled: {wrong}")


class FpgaLibrary:
    """The compiled design. Calls leave Python's lock, and may come from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._function = ctypes.CDLL(str(path)).evproc_words
        self._function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._function.restype = None

    def __call__(self, words: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
        """words: (rows, 32) uint16 -> (rows, 1) uint16. Raises ValueError for rows of another length or type."""
        if words.ndim != 2 or words.shape[1] != len(INPUTS) or words.dtype != np.uint16:
            raise ValueError(f"rows of {len(INPUTS)} uint16 are taken, not {words.dtype} of shape {words.shape}")
        rows = np.ascontiguousarray(words)
        answers = np.empty((len(rows), 1), np.uint16)
        self._function(rows.ctypes.data, answers.ctypes.data, len(rows))
        return answers


def make_version(folder: Path, design: FixedDesign | None = None) -> Path:
    """Put the library, and the backend that calls it, into a version's folder of a model repository; returns it.

    One that is there whole stays as it is. Raises ServerUnavailable if the library cannot be made, OSError for the folder.
    """
    if not (folder / "model.py").exists():
        library = compiled(design)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as part:
            (made := Path(part) / "version").mkdir()
            (made / f"{NAME}.so").write_bytes(library.read_bytes())
            (made / "model.py").write_bytes(BACKEND.read_bytes())
            try:
                made.rename(folder)
            except OSError:
                if not (folder / "model.py").exists():  # else somebody else was first
                    raise
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m evproc.producers.facile.fpga_library`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.producers.facile.fpga_library", description="Compile the FPGA design of FACILE."
    )
    parser.add_argument("--output", type=Path, help="a version's folder to make: models/facile_fpga/1")
    chosen = parser.parse_args(arguments)
    print(make_version(chosen.output) if chosen.output else compiled())  # noqa: T201


if __name__ == "__main__":
    main()
