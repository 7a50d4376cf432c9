"""The house: layout, who may import whom, packaging, names, and that nothing which a run writes is kept."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evproc.framework import Module, Service
from evproc.framework.plugins import contract_faults

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("framework", "sonic_client", "modules", "producers", "workflows")
MAY_IMPORT = {
    "framework": {"framework"},
    "sonic_client": {"framework", "sonic_client"},
    "modules": {"framework", "modules"},
    "producers": {"framework", "sonic_client", "producers"},
    "workflows": {*PACKAGES} - {"workflows"},
}
"""Package -> the packages of evproc that it may import."""
NOT_OF_THE_CORE = {"grpc", "grpclib", "google", "tritonclient", "onnx", "onnxruntime", "torch"} | {
    "uproot",
    "hist",
    "boost_histogram",
    "mplhep",
    "pyarrow",
}
"""Libraries of servers, files and physics, of which the core knows nothing."""
BASES = {"InferenceFilter", "InferenceProducer"}
"""Public modules to derive from, which are not run themselves."""


def sources(package: str) -> list[Path]:
    """The Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports anywhere, in functions too, by their full names; with the line."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ["evproc", *inside[: len(inside) - node.level]] if node.level else []
            home = ".".join([*base, *([node.module] if node.module else [])])
            yield home, node.lineno
            if home == "evproc":
                yield from ((f"evproc.{name.name}", node.lineno) for name in node.names if name.name != "__version__")


def text_files() -> list[Path]:
    """The text files of the project."""
    folders = [*PACKAGES, "src", "tests", "benchmarks", "docs", "models", ".ci"]
    found = [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".lock" and path.name != ".git"]
    for folder in folders:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".pbtxt", ".cfg", ".svg", "", ".typed"}
    return sorted(path for path in found if path.suffix in kinds and ".egg-info" not in str(path))


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_linked_into_evproc(package: str) -> None:
    """The packages lie at the top, and `src/evproc` has a relative link to each."""
    link = ROOT / "src" / "evproc" / package
    assert link.is_symlink()
    assert link.readlink() == Path("..", "..", package)
    assert (ROOT / package).is_dir()
    assert not (ROOT / package).is_symlink()
    home = importlib.import_module(f"evproc.{package}").__file__
    assert home is not None
    assert Path(home).resolve() == ROOT / package / "__init__.py"


def test_src_holds_nothing_else() -> None:
    """`src/evproc` has the links, `__init__.py` and `py.typed`, and no code of its own beside them."""
    there = {path.name for path in (ROOT / "src" / "evproc").iterdir()} - {"__pycache__"}
    assert there == {*PACKAGES, "__init__.py", "py.typed"}


def test_bare_names_are_refused() -> None:
    """`import framework` from the root of the repository says which name is meant, for each package."""
    code = (
        "import importlib\n"
        f"for name in {PACKAGES!r}:\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = [f"import this package as evproc.{name}, not as {name}" for name in PACKAGES]
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("package", PACKAGES)
def test_layers(package: str) -> None:
    """Imports go one way: workflows, then producers and modules, then the client, then the core."""
    wrong = []
    for path in sources(package):
        for name, line in imported(path):
            parts = name.split(".")
            if parts[0] in PACKAGES:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name} by its bare name")
            if parts[0] == "evproc" and len(parts) > 1 and parts[1] not in MAY_IMPORT[package]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong


def test_the_core_knows_no_servers_files_or_physics() -> None:
    """No file of the framework imports a library of gRPC, Triton, ROOT files or histograms, not even in a function."""
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("framework")
        for name, line in imported(path)
        if name.partition(".")[0] in NOT_OF_THE_CORE
    ]
    assert not found


@pytest.mark.parametrize("package", PACKAGES)
def test_relative_imports_stay_inside(package: str) -> None:
    """A relative import never leaves its package: such a name would differ between the two places of a file."""
    for path in sources(package):
        depth = len(path.relative_to(ROOT).parts) - 1
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= depth, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel made from it, of a copy of the project."""
    folder = tmp_path_factory.mktemp("build")
    skip = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "output", "build", "dist", "*.root")
    shutil.copytree(ROOT, folder / "project", symlinks=True, ignore=skip)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), "."]
    done = subprocess.run(command, cwd=folder / "project", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return next((folder / "dist").glob("*.tar.gz")), next((folder / "dist").glob("*.whl"))


def package_files() -> set[str]:
    """The files that an installed evproc has, as `evproc/...`."""
    code = {f"evproc/{path.relative_to(ROOT).as_posix()}" for package in PACKAGES for path in sources(package)}
    protos = {f"evproc/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "sonic_client").rglob("*.proto")}
    design = {f"evproc/producers/facile/{name}" for name in ("fpga_design.json", "fpga_words.cpp")}
    return {*code, *protos, *design, "evproc/__init__.py", "evproc/py.typed"}


def test_the_wheel_holds_the_packages(built: tuple[Path, Path]) -> None:
    """The wheel has the code, .proto files and FPGA design as `evproc/...`, `py.typed`, and nothing that could clash.

    The models are not in it: they belong to the workflows of the repository, and a job names its own.
    """
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    assert {name for name in names if ".dist-info/" not in name} == package_files()
    assert {name.partition("/")[0] for name in names if ".dist-info/" in name} == {"evproc-0.1.0.dist-info"}


def test_the_source_distribution_holds_the_same(built: tuple[Path, Path]) -> None:
    """The source distribution has each of these files once, as a file and not as a link that leads nowhere."""
    with tarfile.open(built[0]) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym()]
    names = [member.name.partition("/")[2] for member in members if member.isfile()]
    inside = {name.removeprefix("src/") for name in names if name.startswith("src/evproc/")}
    assert inside == package_files()
    assert {"pyproject.toml", "README.md", "LICENSE"} <= set(names)


def public_packages() -> list[str]:
    """The packages whose `__all__` users import from."""
    of_producers = [f"producers.{path.parent.name}" for path in sorted((ROOT / "producers").glob("*/__init__.py"))]
    return ["framework", "sonic_client", "modules", *of_producers]


@pytest.mark.parametrize("package", public_packages())
def test_public_names(package: str) -> None:
    """Every name of `__all__` is there, and each class and function of it says what it is."""
    module = importlib.import_module(f"evproc.{package}")
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (value.__doc__ or "").strip(), f"evproc.{package}.{name} has no docstring"


@pytest.mark.parametrize("package", ["framework", "sonic_client", "modules"])
def test_type_checkers_see_the_public_names(package: str) -> None:
    """Names that are loaded when first used are imported for type checkers too, all of them and no others."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    names = {
        alias.name
        for block in guarded
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(importlib.import_module(f"evproc.{package}").__all__)


def test_modules_are_registered_under_their_names() -> None:
    """Every module and service that the packages offer has an entry point of its own name, and only these have."""
    offered = {}
    for package in public_packages():
        home = importlib.import_module(f"evproc.{package}")
        for name in home.__all__:
            value = getattr(home, name)
            if package == "framework" and name != "ExceptionPolicy":  # the rest of the core is there to derive from
                continue
            if inspect.isclass(value) and issubclass(value, Module | Service):
                offered[name] = value
    concrete = {name: part for name, part in offered.items() if name not in BASES}
    assert not [name for name, part in concrete.items() if contract_faults(part)]
    entries = importlib.metadata.entry_points(group="evproc.modules")
    registered = {entry.name: entry.load() for entry in entries if entry.dist and entry.dist.name == "evproc"}
    assert registered == concrete


def test_versions_agree() -> None:
    """The package, its metadata and the change log name one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert importlib.import_module("evproc").__version__ == project["version"]
    assert re.search(rf"^## {re.escape(project['version'])}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_files_are_short() -> None:
    """No file of the packages is much longer than 300 lines."""
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in every_source()}
    assert not {name: length for name, length in lengths.items() if length > 400}


def every_source() -> list[Path]:
    """The Python files of all packages, and of the benchmarks."""
    return [path for package in (*PACKAGES, "benchmarks") for path in sources(package)]


def test_no_path_of_a_machine() -> None:
    """No file names a home directory or a temporary directory of the machine that it was written on."""
    pattern = re.compile(r"(?<![\w.~])/(?:home|root|Users|work|tmp|opt)/\w")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in text_files()
        if path != Path(__file__) and (match := pattern.search(path.read_text(errors="replace")))
    ]
    assert not found


def test_nothing_that_a_run_writes_is_at_the_top() -> None:
    """The top folder holds what a project has there, and neither lists of failed events nor ntuples, plots or reports."""
    kept = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"}
    found = {path.name for path in ROOT.iterdir() if path.is_file()}
    if (git := shutil.which("git")) and (ROOT / ".git").exists():  # else it was unpacked, and nothing has run there
        listed = subprocess.run([git, "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
        found &= set(listed.stdout.split("\n"))
    assert {name for name in found if not name.startswith(".")} == kept
