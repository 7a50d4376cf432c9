"""The commands of the documentation are run, and what it shows of their output is held against what they print.

A `sh` block is a list of commands that must succeed. In a `console` block `$ ` begins a command, and what follows is what it
prints: numbers may differ, `...` stands for anything, `# exit code N` says that it fails. `text` blocks are not run.
Commands run in a folder that looks like the root of the repository, with a small ntuple `nano.root` in it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "console", "python", "text", "toml", "yaml"}
NOT_RUN = {
    "make demo": "installs everything; the project's continuous integration runs it",
    "make test": "is what runs this test",
    "source .venv/bin/activate": "the tests run in the environment already",
    "pre-commit install": "would change the repository",
    "pytest tests/test_house.py -k layers": "is run with all tests",
    "python docs/generate.py": "would change the repository; tests/docs/test_pages.py runs it with --check",
    "evproc scan workflows/scan_toy.py --server fake --service-time 20ms --clients 1,2,4,8,12 --latency 0,60ms": (
        "takes a minute; tests/workflows/test_scan_workflow.py runs it, smaller"
    ),
    "evproc server install": "the fixture `triton_wheel` has called what it calls",
}
"""Command -> why it is not run."""
RUN_AS = {
    "evproc run workflows/facile.py": "evproc run workflows/facile.py -o source.events=20 -o source.channels=500",
}
"""Command -> the same on fewer events."""


@dataclass
class Command:
    """A command of a page, and what it shows of the output; None if it shows nothing."""

    line: str
    output: list[str] | None = None
    exit_code: int = 0


@dataclass
class Page:
    """What there is to run on a page."""

    commands: list[Command] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)


def read(name: str) -> Page:
    """The commands of a page, in order."""
    page = Page()
    for block in BLOCK.finditer((ROOT / name).read_text()):
        page.languages.append(block["language"])
        if block["language"] == "sh":
            page.commands += [Command(line) for text in block["text"].splitlines() if (line := bare(text))]
        elif block["language"] == "console":
            for text in block["text"].splitlines():
                if text.startswith("$ "):
                    wanted = re.search(r"# exit code (\d+)", text)
                    page.commands.append(Command(bare(text[2:]), [], int(wanted[1]) if wanted else 0))
                else:
                    output = page.commands[-1].output
                    assert output is not None
                    output.append(text)
    return page


def bare(text: str) -> str:
    """A command without its comment."""
    return re.sub(r"(^|\s)#.*", "", text).strip()


def normal(line: str) -> str:
    """A line with its numbers, units of measured values, plurals and widths of columns taken out."""
    line = re.sub(r"<?\d[\d,.]*(e[-+]?\d+)?", "#", line)
    line = re.sub(r"# (ns|us|ms|s|min|h|B|kB|MB|GB)\b", "# UNIT", line)
    line = re.sub(r"\b(event|block|request)s\b", r"\1", line)
    return " ".join(line.split())


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether what a page shows is what was printed; `...` stands for the rest of a line, or for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(normal(line)).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown
    )
    return re.fullmatch(pattern, "".join(f"{normal(line)}\n" for line in printed)) is not None


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example plug-in is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    built = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "docs" / "examples" / "plugin", folder / "source", ignore=built)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "installed"), str(folder / "source")], check=True, timeout=100)
    return folder / "installed"


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small ntuple of the tutorial."""
    file = tmp_path_factory.mktemp("nano") / "nano.root"
    script = ROOT / "docs" / "examples" / "toy_nanoaod.py"
    subprocess.run([sys.executable, str(script), str(file)], check=True, timeout=100)
    return file


@pytest.fixture
def root(tmp_path: Path, nano: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the repository, to run the commands of one page in; its plug-in is installed."""
    for name in ("workflows", "models", "docs", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(nano, tmp_path / "nano.root")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setenv("EVPROC_PLUGINS", "evproc-example")
    return tmp_path


def call(line: str) -> tuple[int, str, str]:
    """Run a command; returns exit code, stdout and stderr. `evproc` runs in this process, which spares its imports."""
    words = shlex.split(line)
    if words[0] == "evproc":
        called = CliRunner().invoke(app, words[1:], prog_name="evproc")
        return called.exit_code, called.stdout, called.stderr
    program = [sys.executable, *(["-m", words[0]] if words[0] != "python" else []), *words[1:]]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", [name for name in PAGES if read(name).commands])
@pytest.mark.usefixtures("triton_wheel", "root")
def test_commands_run(name: str) -> None:
    """Every command of a page does what the page says, in the order of the page."""
    for command in read(name).commands:
        if command.line in NOT_RUN:
            continue
        line = RUN_AS.get(command.line, command.line)
        exit_code, stdout, stderr = call(line)
        said = f"{name}: {line}\n{stdout}{stderr}"
        assert exit_code == command.exit_code, said
        if command.output is not None:
            # 1: configurations differ; 7: the job has ended, with failed events
            printed = stdout if command.exit_code in (0, 1, 7) else stderr
            assert agrees(command.output, printed.splitlines()), said


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_what_it_is(name: str) -> None:
    """A block without a language, or of one that no test knows, would be run by nobody."""
    assert set(read(name).languages) <= LANGUAGES


def test_nothing_is_excused_in_vain() -> None:
    """Commands that are not run, or run on fewer events, are there."""
    lines = {command.line for name in PAGES for command in read(name).commands}
    assert set(NOT_RUN) | set(RUN_AS) <= lines


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["JETS: 1,000 events in 357 ms"], ["JETS: 1 event in 2.1 s"], True),
        (["a  12 %", "...", "Limited by ..."], ["a    <0.1 %", "", "b", "Limited by the input"], True),
        (["a  12 %"], ["b  12 %"], False),
        (["a"], ["a", "b"], False),
        (["energy  producer  500  607 ms"], ["energy  filter  500  607 ms"], False),
    ],
)
def test_what_is_compared(shown: list[str], printed: list[str], same: bool) -> None:
    """Numbers, their units and the widths of columns may differ; words and lines may not."""
    assert agrees(shown, printed) is same
