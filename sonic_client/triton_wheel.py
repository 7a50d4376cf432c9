"""The real Triton server, carried by a Python wheel: where it is kept, how it gets there, what it needs to run.

The wheel `nvidia-pytriton` holds the binary `tritonserver` 2.51 with its libraries and the Python backend:
145 MB, no container, no GPU. It is used as a carrier of files only. Installed in the ordinary way it would
drag the environment back to NumPy 1 (its metadata says `numpy<2`); so pip puts it, without its
dependencies, into evproc's own data folder, and nothing of it is ever imported.

    $EVPROC_DATA_DIR, else $XDG_DATA_HOME/evproc, else ~/.local/share/evproc
    └── triton/nvidia-pytriton-0.7.0/       renamed to this when complete: it is there whole, or not at all
        ├── pytriton/tritonserver/...       the binary, the Python backend, one stub for each minor version of Python
        └── nvidia_pytriton.libs/           the libraries

Two installations at once do no harm: each works in a folder of its own, and the one that is first to rename
wins.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree

from evproc.framework.errors import ServerUnavailable

REQUIREMENT = "nvidia-pytriton==0.7.0"
TRITON_VERSION = "2.51.0"


@dataclass(frozen=True, slots=True)
class TritonFiles:
    """The files of an installed Triton that fit this Python."""

    root: Path
    binary: Path
    """tritonserver"""
    python_backend: tuple[Path, ...]
    """What the folder of the Python backend must hold: library, module, and the stub of this minor version."""
    libraries: Path
    """The folder of the libraries that the binary needs."""


def data_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where evproc keeps what it fetches."""
    if own := environment.get("EVPROC_DATA_DIR"):
        return Path(own).expanduser().absolute()
    share = environment.get("XDG_DATA_HOME")
    return (Path(share) if share else Path.home() / ".local" / "share") / "evproc"


def wheel_folder() -> Path:
    """Where the files of the wheel are, once installed."""
    return data_folder() / "triton" / REQUIREMENT.replace("==", "-")


def is_installed() -> bool:
    """Whether `evproc server install` has been run for this data folder."""
    return wheel_folder().is_dir()


def _check_platform(system: str, machine: str, python: str) -> None:
    if (system, machine) != ("Linux", "x86_64"):
        raise ServerUnavailable(
            f"the embedded Triton runs on Linux on x86_64 only, not on {system} on {machine}; "
            "use a server elsewhere: servers=['grpc://host:8001']"
        )
    known = [f"3.{minor}" for minor in range(8, 14)]
    if python not in known:
        raise ServerUnavailable(
            f"the embedded Triton has no Python backend for Python {python}; it has one for {', '.join(known)}"
        )


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def install() -> Path:
    """Fetch the wheel with pip into the data folder, unless it is there. Returns its folder.

    Raises ServerUnavailable if this machine cannot run it, or if pip fails, with pip's words.
    """
    _check_platform(platform.system(), platform.machine(), _python())
    folder = wheel_folder()
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ServerUnavailable(f"cannot install Triton into {folder}: {error.strerror}") from error
    try:
        _pip(staging)
        _files(staging)
        try:
            staging.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another installation was faster
                raise
    finally:
        rmtree(staging, ignore_errors=True)
    return folder


def _pip(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command += ["--no-deps", "--only-binary", ":all:", "--no-compile", "--target", str(target), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reasons = [line for line in words if line.startswith("ERROR")] or words[-3:] or ["it said nothing"]
        shown = "\n  ".join(reasons)
        raise ServerUnavailable(f"pip could not fetch {REQUIREMENT} (is this machine offline?):\n  {shown}")


def locate() -> TritonFiles:
    """The installed files. Raises ServerUnavailable, with what to do, if anything to run Triton is missing."""
    _check_platform(platform.system(), platform.machine(), _python())
    folder = wheel_folder()
    if not folder.is_dir():
        raise ServerUnavailable(f"the embedded Triton is not installed in {folder.parent}; run: evproc server install")
    return _files(folder)


def _files(folder: Path) -> TritonFiles:
    server = folder / "pytriton" / "tritonserver"
    backend = server / "backends" / "python"
    files = TritonFiles(
        root=folder,
        binary=server / "bin" / "tritonserver",
        python_backend=(
            backend / "libtriton_python.so",
            backend / "triton_python_backend_utils.py",
            server / "python_backend_stubs" / _python() / "triton_python_backend_stub",
        ),
        libraries=folder / "nvidia_pytriton.libs",
    )
    for path in (files.binary, *files.python_backend, files.libraries):
        if not path.exists():
            raise ServerUnavailable(
                f"the installed Triton lacks {path.relative_to(folder)}; remove {folder} and run: evproc server install"
            )
    return files


def require_onnxruntime() -> None:
    """Raise ServerUnavailable if onnxruntime, which the server's models run on, is not installed."""
    if find_spec("onnxruntime") is None:
        raise ServerUnavailable(
            "the embedded Triton runs ONNX models with onnxruntime, which is not installed; "
            "run: pip install 'evproc[server]'"
        )


def shared_python() -> Path:
    """The folder of this Python's shared library, which the Python backend loads.

    It must come first in the library path: a distribution's library of another patch version would crash the server's
    Python. Raises ServerUnavailable, naming the package to install, where there is none (a static Python).
    """
    name = f"libpython{_python()}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    folders = [Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"), Path(sys.base_prefix) / "lib"]
    folders += [folder / multiarch for folder in folders]
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise ServerUnavailable(
        f"the embedded Triton needs the shared library {name}, and this Python ({sys.base_prefix}) has none; "
        f"on Debian and Ubuntu install libpython{_python()}, on Fedora and RHEL python{_python()}-libs, "
        "or use a Python of uv or conda, which bring it"
    )
