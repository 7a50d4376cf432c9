"""The pages themselves: what they quote is up to date, their Python runs, their links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evproc.framework import errors
from evproc.framework.config import Options

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PYTHON = re.compile(r"(?P<before>^[^\n]*\n)?^```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")


def own_python(name: str) -> list[str]:
    """The Python blocks of a page that are not quoted from a file."""
    blocks = PYTHON.finditer((ROOT / name).read_text())
    return [block["text"] for block in blocks if not (block["before"] or "").startswith("<!-- example: ")]


def test_pages_are_up_to_date() -> None:
    """What is quoted of examples, of commands and of the modules' descriptions is what these are at present."""
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_found() -> None:
    """The check of the pages sees a quoted block that differs from its file."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = (ROOT / "docs" / "tutorial.md").read_text()
    stale = page.replace("class JetCorrector(", "class JetCorrectr(")
    assert stale != page
    assert generate.filled(stale) == generate.filled(page) == page


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in PAGES for number in range(len(own_python(name)))]
)
def test_python_of_a_page_runs(name: str, number: int, tmp_path: Path) -> None:
    """A Python block that is quoted from no file runs as it stands, with the results of the tutorial's job beside it."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    if "jets.root" in own_python(name)[number]:
        write_result(tmp_path / "jets.root")
    command = [sys.executable, "-W", "error", "-c", own_python(name)[number]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def write_result(path: Path) -> None:
    """A file as the tutorial's job writes it."""
    from evproc.framework import EndPath, Process
    from evproc.modules import ArraySource, NtupleOutput

    process = Process("RESULT")
    process.source = ArraySource({"corrected": [[40.0, 30.0], [20.0]]})
    process.out = NtupleOutput(file=str(path))
    process.end = EndPath(process.out)
    process.run()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """Every link to a file of the project, and every picture, is there."""
    folder = (ROOT / name).parent
    missing = [target for target in LINK.findall((ROOT / name).read_text()) if not (folder / target).exists()]
    assert not missing


def test_every_page_is_on_the_map() -> None:
    """`docs/index.md` names every page beside it."""
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text()))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= linked


def test_every_example_is_used() -> None:
    """An example that no page quotes or runs has no place."""
    text = "".join((ROOT / name).read_text() for name in PAGES)
    names = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "examples").rglob("*.py")]
    assert [name for name in names if name not in text] == []


def test_exit_codes_are_those_of_the_classes() -> None:
    """The table of exit codes has every class of error, beside its code."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    said = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+)`", names)}
    classes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EvprocError) and kind is not errors.EvprocError
    }
    assert said == classes


def test_options_are_those_of_the_process() -> None:
    """The table of options names every option, with its default."""
    rows = re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", (ROOT / "docs" / "workflows.md").read_text(), re.MULTILINE)
    said = {name: default.split()[0] for name, default in rows}
    defaults = Options().model_dump().items()
    assert said == {
        name: f"{value:g}" if isinstance(value, float | int) else value or "none" for name, value in defaults
    }


def test_figures_are_the_same_everywhere() -> None:
    """The table of measured figures stands in the README and in the page on benchmarks, and is one table."""
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/benchmarks.md")]
    tables = [re.findall(r"^\| `\w+`: `\w+`.*$", page, re.MULTILINE) for page in pages]
    assert tables[0]
    assert tables[0] == tables[1]
