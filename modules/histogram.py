"""`HistogramAnalyzer`: fills histograms while the job runs, and draws and stores them when it has ended well.

Counts are integers where there are no weights, so they do not depend on the order of filling; weighted sums are taken in the
order of the input. Numbers that are not a number are counted apart, because they belong to no bin, not even to the overflow.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evproc.framework import Analyzer, Block, Columns, Fault, Input, InputTag, Job, OutputError, Parameter
from evproc.framework.columns import Array, Column, Flat, Jagged
from evproc.framework.new_files import directory_problem, make_directory, part_path

_PICTURES = (".png", ".pdf", ".svg")
_STORES = (".root", ".json")
FORMAT_VERSION = 1


class Histogram(Block):
    """One histogram: which product, and which bins."""

    of: InputTag = Input(description="product to fill; of a list, every entry is filled")
    bins: int = Parameter(description="number of bins, all of one width", ge=1, le=1_000_000)
    start: float = Parameter(description="lower edge of the first bin", allow_inf_nan=False)
    stop: float = Parameter(description="upper edge of the last bin", allow_inf_nan=False)
    name: str = Parameter("", description="name of the histogram; by default that of the product")
    label: str = Parameter("", description="title of the axis; LaTeX between $ signs; by default the name")
    unit: str = Parameter("", description="unit of the axis, as GeV")
    weight: InputTag | None = Input(None, description="product with the weight of each event, or of each entry")
    log: bool = Parameter(False, description="draw the counts on a logarithmic axis")

    @property
    def title(self) -> str:
        """The name of the histogram."""
        return self.name or self.of.replace(":", "_")

    @property
    def axis_label(self) -> str:
        """The title of the axis, with the unit."""
        text = self.label or self.title
        return f"{text} [{self.unit}]" if self.unit else text


class HistogramAnalyzer(Analyzer):
    """Fills histograms; draws them and stores their counts at the end of the job.

    `analyzer.histograms["name"]` is a `hist.Hist`, also after the job.
    """

    class Config(Analyzer.Config):
        """Which histograms, and where they go."""

        histograms: list[Histogram] = Parameter(description="what is filled", min_length=1)
        plot: str = Parameter("", description="picture to draw, .png, .pdf or .svg; or a directory, for one .png each")
        file: str = Parameter("", description="file for the counts: .root or .json")

    all_or_nothing: ClassVar[bool] = True

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.histograms: dict[str, Any] = {}
        self.not_a_number: dict[str, int] = {}
        """Entries of each histogram that were no number."""
        self.per_event: dict[str, bool] = {}
        """Whether a histogram has one entry per event."""

    def check(self) -> list[Fault]:
        """Bins that are none, names that occur twice, files that cannot be written."""
        problems: list[tuple[str, str]] = []
        names: set[str] = set()
        for number, block in enumerate(self.config.histograms):
            key = f"histograms.{number}"
            if block.start >= block.stop:
                problems.append((f"{key}.stop", f"the range from {block.start} to {block.stop} is empty"))
            if block.title in names:
                problems.append((f"{key}.name", f"two histograms have the name '{block.title}'; name one of them"))
            if "/" in block.title:
                problems.append((f"{key}.name", f"'{block.title}' is no name for a file"))
            names.add(block.title)
        problems.extend(self._file_problems())
        return [Fault(text, self.label, key, self.where) for key, text in problems]

    def written_files(self) -> list[str]:
        """The counts, and the picture if it is one for all."""
        plot = self.config.plot
        return [name for name in (self.config.file, plot if plot and Path(plot).suffix else None) if name]

    def _file_problems(self) -> list[tuple[str, str]]:
        problems = []
        if self.config.plot:
            missing = [name for name in ("matplotlib", "mplhep") if find_spec(name) is None]
            if missing:
                problems.append(("plot", f"plots need {' and '.join(missing)}; install evproc[plot]"))
            path = Path(self.config.plot)
            if path.suffix and path.suffix.lower() not in _PICTURES:
                problems.append(("plot", f"'{path.name}' is no picture; use {', '.join(_PICTURES)} or a directory"))
            elif not (path.is_dir() and not path.suffix):
                problem = directory_problem(path)
                problems.extend([("plot", problem)] if problem else [])
            else:
                problem = directory_problem(path / "x")
                problems.extend([("plot", problem)] if problem else [])
        if self.config.file:
            path = Path(self.config.file)
            if path.suffix.lower() not in _STORES:
                problems.append(("file", f"'{path.name}' has no suffix that says its format: {', '.join(_STORES)}"))
            elif problem := directory_problem(path):
                problems.append(("file", problem))
        return problems

    def begin_job(self, job: Job) -> None:
        """Make empty histograms, and the directories of the files. Raises OutputError."""
        import hist

        for name in filter(None, (self.config.plot, self.config.file)):
            make_directory(Path(name))
        self.histograms = {}
        for block in self.config.histograms:
            axis = hist.axis.Regular(block.bins, block.start, block.stop, name=block.title, label=block.axis_label)
            storage = hist.storage.Weight() if block.weight else hist.storage.Int64()
            self.histograms[block.title] = hist.Hist(axis, storage=storage, name=block.title, label=block.title)
        self.not_a_number = dict.fromkeys(self.histograms, 0)
        self.per_event = dict.fromkeys(self.histograms, True)

    def analyze_columns(self, columns: Columns) -> None:
        """Fill a block of events: all histograms, or none if there is something wrong with one."""
        fills = []
        for block in self.config.histograms:
            values, counts = _entries(columns.column(block.of), block.of)
            if counts is not None:
                self.per_event[block.title] = False
            weights = _weights(columns.column(block.weight), counts, values, block) if block.weight else None
            missing = 0
            if values.dtype.kind == "f":
                numbers = ~np.isnan(values)
                missing = len(values) - int(np.count_nonzero(numbers))
                if missing:
                    values = values[numbers]
                    weights = weights[numbers] if weights is not None else None
            fills.append((block.title, values, weights, missing))
        for title, values, weights, missing in fills:
            self.not_a_number[title] += missing
            if weights is None:
                self.histograms[title].fill(values)
            else:
                self.histograms[title].fill(values, weight=weights)

    def job_results(self) -> dict[str, Any]:
        """The histograms, by their names."""
        return dict(self.histograms)

    def commit(self) -> None:
        """Draw the pictures and store the counts. Raises OutputError."""
        finished: dict[Path, Path] = {}
        try:
            for path, blocks in self._pictures().items():
                finished[path] = part_path(path)
                self._draw(blocks, finished[path], path.suffix[1:].lower() or "png")
            if self.config.file:
                path = Path(self.config.file)
                finished[path] = part_path(path)
                self._store(finished[path], path.suffix.lower())
            for path, part in finished.items():
                part.replace(path)
        except Exception as error:
            for part in finished.values():
                with suppress(OSError):
                    part.unlink(missing_ok=True)
            why = error.strerror if isinstance(error, OSError) else f"{error} ({type(error).__name__})"
            files = ", ".join(f"'{path}'" for path in finished)
            raise OutputError(f"{self.label or type(self).__name__}: {files} cannot be written: {why}") from error

    def _pictures(self) -> dict[Path, list[Histogram]]:
        """The pictures to draw, each with what is on it."""
        if not self.config.plot:
            return {}
        path = Path(self.config.plot)
        if path.suffix:
            return {path: list(self.config.histograms)}
        path.mkdir(exist_ok=True)
        return {path / f"{block.title}.png": [block] for block in self.config.histograms}

    def _draw(self, blocks: list[Histogram], path: Path, kind: str) -> None:
        from .plotting import Panel, draw

        panels = [
            Panel(
                self.histograms[block.title],
                block.axis_label,
                block.unit,
                ("Weighted " if block.weight else "") + ("events" if self.per_event[block.title] else "entries"),
                block.log,
                self.not_a_number[block.title],
            )
            for block in blocks
        ]
        draw(panels, path, kind)

    def _store(self, path: Path, suffix: str) -> None:
        if suffix == ".json":
            stored = {
                block.title: counts_of(self.histograms[block.title])
                | {"of": block.of, "label": block.label or block.title, "unit": block.unit}
                | {"not_a_number": self.not_a_number[block.title]}
                for block in self.config.histograms
            }
            path.write_text(json.dumps({"version": FORMAT_VERSION, "histograms": stored}, indent=1) + "\n")
            return
        import uproot

        with uproot.recreate(path) as file:
            for name, histogram in self.histograms.items():
                file[name] = _of_doubles(histogram)


def _of_doubles(histogram: Any) -> Any:
    """The histogram as ROOT can store it: its counts as doubles, which hold integers up to 2**53 exactly."""
    import hist

    if histogram.view().dtype.names:  # sums of weights and of their squares
        return histogram
    copy = hist.Hist(*histogram.axes, storage=hist.storage.Double(), name=histogram.name, label=histogram.label)
    copy.view(flow=True)[...] = histogram.values(flow=True)
    return copy


def counts_of(histogram: Any) -> dict[str, Any]:
    """A histogram as plain data: edges (bins + 1), counts and variances (bins), underflow, overflow."""
    every, variances = histogram.values(flow=True), histogram.variances()
    return {
        "edges": histogram.axes[0].edges.tolist(),
        "counts": every[1:-1].tolist(),
        "variances": variances.tolist(),
        "underflow": every[0].item(),
        "overflow": every[-1].item(),
    }


def _entries(column: Column, name: str) -> tuple[Array, Array | None]:
    """The numbers to fill, and how many each event has; None for the latter where each event has one."""
    if isinstance(column, Jagged) and column.content.dtype.kind in "biuf":
        column = column.compact()
        inner = int(np.prod(column.content.shape[1:], dtype=np.int64))
        return column.content.reshape(-1), np.diff(column.offsets) * inner
    if isinstance(column, Flat) and column.values.dtype.kind in "biuf":
        values = column.values
        if values.ndim == 1:
            return values, None
        return values.reshape(-1), np.full(len(values), int(np.prod(values.shape[1:])), dtype=np.int64)
    import awkward as ak

    flat = np.asarray(ak.to_numpy(ak.ravel(column.array()), allow_missing=False))
    if flat.dtype.kind not in "biuf" or isinstance(column, Flat):
        raise TypeError(f"product '{name}' holds no numbers and cannot be filled into a histogram")
    lists = ak.ones_like(column.array(), dtype=np.int64)
    while lists.ndim > 1:
        lists = ak.sum(lists, axis=-1)
    return flat, np.asarray(ak.to_numpy(lists), dtype=np.int64)


def _weights(column: Column, counts: Array | None, values: Array, block: Histogram) -> Array:
    """The weight of each entry: (entries,)."""
    weights, own = _entries(column, block.weight or "")
    if own is None and counts is not None:
        return np.repeat(weights, counts)
    if len(weights) != len(values) or (own is not None and (counts is None or not np.array_equal(own, counts))):
        raise TypeError(
            f"'{block.weight}' is no weight for '{block.of}': it has another number of entries in some events"
        )
    return weights
