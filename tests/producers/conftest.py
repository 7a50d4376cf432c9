"""What the tests of the producers share: the shipped models, and the real NanoAOD where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
REAL_DATA = Path(os.environ.get("EVPROC_TEST_DATA", ROOT.parent / "shared" / "data"))
NANOAOD = "nanoAOD_2015_CMS_Open_Data_ttbar.root"

Model = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def nanoaod() -> Path:
    """A real NanoAOD of 200 simulated events, with generator jets."""
    path = REAL_DATA / NANOAOD
    if not path.exists():
        pytest.skip(f"the real ntuple {NANOAOD} is not in {REAL_DATA} (EVPROC_TEST_DATA says where to look)")
    return path


@pytest.fixture(scope="session")
def shipped_model() -> Callable[[str], Model]:
    """A model of the repository by name, as a function on arrays: onnxruntime, one thread."""
    import onnxruntime

    def load(name: str) -> Model:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            MODELS / name / "1" / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        (output,) = session.get_outputs()

        def run(inputs: npt.NDArray[np.float32]) -> Any:
            return session.run([output.name], {session.get_inputs()[0].name: inputs})[0]

        return run

    return load
