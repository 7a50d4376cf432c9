"""Fills in what the documentation quotes: parts of examples, what commands print, the reference of modules, a picture.

    python docs/generate.py           # write
    python docs/generate.py --check   # write nothing; exit code 1 if a page is stale

A comment in a page says what the block below it quotes:

    <!-- example: docs/examples/jets.py JetCorrector -->    a class or function; `process` is from there to the end of the
                                                            file; without a name, the whole file
    <!-- output: evproc modules -->                         what a command prints
    <!-- reference -->                                      everything below: all modules that evproc brings
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import shlex
import sys
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.description import describe
from evproc.framework.plugins import discover

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"<!-- (?P<what>example|output): (?P<of>.+?) -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
REFERENCE = "<!-- reference -->\n"
KINDS = {"source": "Sources", "producer": "Producers", "filter": "Filters", "analyzer": "Analyzers"} | {
    "output": "Output modules",
    "conditions": "Conditions",
    "service": "Services",
}
PICTURE = "docs/facile_graph.svg"
SCHEDULE = "docs/schedule.svg"
TIMES, MEASURED = "docs/facile_times.svg", "docs/examples/facile_report.json"


def pages() -> list[Path]:
    """The pages of the documentation."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def filled(page: str) -> str:
    """A page with all that it quotes brought up to date."""
    text = BLOCK.sub(_block, page)
    head, marker, _ = text.partition(REFERENCE)
    return f"{head}{marker}{reference()}" if marker else text


def example(of: str) -> str:
    """A part of a Python file, or all of it."""
    file, _, name = of.partition(" ")
    text = (ROOT / file).read_text()
    if not name:
        return text
    for node in ast.parse(text).body:
        lines = text.splitlines(keepends=True)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return "".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return "".join(lines[node.lineno - 1 :])
    raise SystemExit(f"{file} has no {name}")


def output(command: str) -> str:
    """What a command of evproc prints."""
    done = CliRunner().invoke(app, shlex.split(command)[1:], prog_name="evproc")
    if done.exit_code:
        raise SystemExit(f"{command}: exit code {done.exit_code}\n{done.output}")
    return done.stdout


def reference() -> str:
    """A section for each module and service of evproc's own, by kind."""
    registry = discover()
    found = [
        describe(plugin.load_part(), plugin) for name in registry if (plugin := registry.get(name)).package == "evproc"
    ]
    text = ""
    for kind, title in KINDS.items():
        text += f"\n## {title}\n"
        for description in found:
            if description.kind == kind:
                printed = output(f"evproc modules {description.name}")
                text += f"\n### {description.name}\n\n```text\n{printed}```\n"
    return text


def draw() -> None:
    """The pictures of the main job's data flow, and of a schedule."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        size = "-o source.events=1 -o source.channels=10"
        output(f"evproc graph {ROOT / 'workflows' / 'facile.py'} {size} --output {ROOT / PICTURE}")
        timed = f"--report {ROOT / MEASURED} --output {ROOT / TIMES}"
        output(f"evproc graph {ROOT / 'workflows' / 'facile.py'} {size} {timed}")
        os.chdir(ROOT)

    picture = runpy.run_path(str(ROOT / "docs" / "schedule_picture.py"))
    (ROOT / SCHEDULE).write_text(picture["drawn"](picture["picture_process"]()), encoding="utf-8")


def _block(match: re.Match[str]) -> str:
    text = example(match["of"]) if match["what"] == "example" else output(match["of"])
    return f"<!-- {match['what']}: {match['of']} -->\n```{match['language']}\n{text}```"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    os.chdir(ROOT)
    os.environ["EVPROC_PLUGINS"] = ""
    stale = []
    for page in pages():
        before = page.read_text()
        after = filled(before)
        if before != after:
            stale.append(page.relative_to(ROOT).as_posix())
            if "--check" not in arguments:
                page.write_text(after)
    if "--check" not in arguments:
        draw()
        return 0
    for name in stale:
        sys.stderr.write(f"{name} is stale; run python docs/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
