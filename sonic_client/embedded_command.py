"""What the embedded server is asked to load, and the words with which it is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evproc.framework.errors import ServerUnavailable, did_you_mean

from .embedded_layout import is_complete
from .repository import why_unmade
from .triton_wheel import TritonFiles, require_onnxruntime

GRACE = 1.0  # s, after which the server is killed; alone it takes a second for each model, mostly idle


def models_to_load(repositories: Sequence[Path], load: Sequence[str] | None) -> list[str]:
    """The models to load; None: all that have a version. Raises ServerUnavailable for one that is not there."""
    found = _folders(repositories)
    unmade = {name: why for name, folder in found.items() if (why := why_unmade(folder))}
    names = sorted(found.keys() - unmade.keys()) if load is None else list(load)
    places = ", ".join(str(folder) for folder in repositories)
    if not names:
        others = "".join(f"; {why}" for why in unmade.values())
        raise ServerUnavailable(f"there is no model in the repository {places}{others}")
    for name in names:
        if name not in found:
            raise ServerUnavailable(f"model '{name}' is not in the repository {places}{did_you_mean(name, found)}")
        if name in unmade:
            raise ServerUnavailable(unmade[name])
    if any(next(found[name].rglob("*.onnx"), None) for name in names):
        require_onnxruntime()
    return names


def left_out(repositories: Sequence[Path]) -> list[str]:
    """Why models of some repositories are left out when all are loaded, each as a sentence."""
    return [why for _, folder in sorted(_folders(repositories).items()) if (why := why_unmade(folder))]


def _folders(repositories: Sequence[Path]) -> dict[str, Path]:
    """The folders of the models, by name. Raises ServerUnavailable for a repository that is not there."""
    found: dict[str, Path] = {}
    for folder in repositories:
        if not folder.is_dir():
            raise ServerUnavailable(f"the model repository {folder} is not there")
        entries = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._"]
        found.update({entry.name: entry for entry in entries})
    return found


def server_command(
    files: TritonFiles,
    folder: Path,
    repositories: Sequence[Path],
    names: Sequence[str],
    ports: Sequence[int],
    shared: str,
) -> list[str]:
    """The command line of the server. `ports` are that of gRPC and, if wanted, that of HTTP."""
    http = ["--http-address=127.0.0.1", f"--http-port={ports[1]}", "--http-thread-count=1"] if ports[1:] else []
    return [
        str(files.binary),
        *(f"--model-repository={repository}" for repository in repositories),
        f"--backend-directory={folder / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={shared}",
        f"--backend-config=onnxruntime,shm-region-prefix-name={shared}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in names),
        "--grpc-address=127.0.0.1",
        f"--grpc-port={ports[0]}",
        f"--allow-http={'true' if http else 'false'}",
        *http,
        "--allow-metrics=false",
        f"--exit-timeout-secs={GRACE:.0f}",
        *(["--disable-auto-complete-config"] if all(map(is_complete, repositories)) else []),
    ]
