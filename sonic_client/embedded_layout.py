"""The folder and the environment in which the embedded server runs.

What the server is given, in a temporary folder that the supervisor removes:

    backends/python/            the wheel's Python backend, with the stub of this minor version of Python
    backends/onnxruntime/       model.py: our backend for ONNX models (see there)
    lib/                        this Python's shared library, under each name that a stub asks for
    bin/python3, pyvenv.cfg     a virtual environment on this Python ...
    lib/python3.X/site-packages/evproc.pth      ... that sees the packages that the job sees

The last two are the way to the job's packages because the stub starts Python in its isolated mode: it does
not read PYTHONPATH. It takes the first `python3` of PATH for its home, and honours the `pyvenv.cfg` beside
it and `.pth` files. Folders of PYTHONPATH that hold a `model.py` are left out: Python would import that one
in place of every model's own.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path
from shutil import copy2

from .triton_wheel import TritonFiles, shared_python

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries in Python models read for their number of threads, which would else be that of the machine's cores."""


def lay_out(folder: Path, files: TritonFiles, threads: int) -> dict[str, str]:
    """Fill the server's folder, and return the environment that belongs to it."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    backends, libraries = folder / "backends", folder / "lib"
    for made in (backends / "python", backends / "onnxruntime", folder / "bin", libraries / python / "site-packages"):
        made.mkdir(parents=True)
    for path in files.python_backend:
        copy2(path, backends / "python")  # a link would bring the stub's own library path into force
    copy2(Path(__file__).parent / "onnx_backend" / "model.py", backends / "onnxruntime")

    shared = shared_python() / f"lib{python}.so.1.0"
    (libraries / shared.name).symlink_to(shared)
    for bundled in files.libraries.glob(f"libpython3-*.{sys.version_info.minor}.so.1.0"):
        (libraries / bundled.name).symlink_to(shared)

    home = Path(sysconfig.get_config_var("BINDIR") or Path(sys.base_prefix) / "bin")
    (folder / "bin" / "python3").symlink_to(home / python)
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    lines = [f"import site; site.addsitedir({path!r})" for path in _job_packages()]
    (libraries / python / "site-packages" / "evproc.pth").write_text("\n".join(lines) + "\n")

    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = f"{folder / 'bin'}:{os.environ.get('PATH', os.defpath)}"
    environment["LD_LIBRARY_PATH"] = f"{libraries}:{files.libraries}"
    environment["EVPROC_ONNX_THREADS"] = str(threads)
    for name in _THREADS:
        environment.setdefault(name, str(threads))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _job_packages() -> list[str]:
    """The folders from which the server's Python takes packages: the job's, less what would hide a model."""
    named = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}  # noqa: PTH100
    return [
        path
        for path in dict.fromkeys(sys.path)
        if Path(path).name in ("site-packages", "dist-packages")
        or (os.path.abspath(path) in named and not Path(path, "model.py").exists())  # noqa: PTH100
    ]


_REQUIRED = (r"(backend|platform)\s*:", r"max_batch_size\s*:", r"input\s*:?\s*[\[{]", r"output\s*:?\s*[\[{]")


def is_complete(repository: Path) -> bool:
    """Whether each model of a repository is described in full, so that the server need not ask the model itself."""
    for folder in repository.iterdir():
        if not folder.is_dir() or folder.name[0] in "._":
            continue
        config = folder / "config.pbtxt"
        text = config.read_text() if config.exists() else ""
        if not all(re.search(rf"^\s*{required}", text, re.MULTILINE) for required in _REQUIRED):
            return False
        if any("auto_complete_config" in path.read_text() for path in folder.glob("*/model.py")):
            return False
    return True
