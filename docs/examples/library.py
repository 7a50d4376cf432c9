"""evproc from Python, without a file or the command line: build a process, run it, go on with what it made."""

from __future__ import annotations

import numpy as np

from evproc.framework import Path, Process, filter_by, producer
from evproc.modules import ArraySource, HistogramAnalyzer

random = np.random.default_rng(1)
process = Process("LIBRARY", block=1000)
process.source = ArraySource({"pt": random.exponential(40.0, 10_000), "eta": random.normal(0.0, 2.0, 10_000)})
process.energy = producer(lambda pt, eta: pt * np.cosh(eta), columns=True, produces="float64")
process.central = filter_by(lambda eta: abs(eta) < 1.5)
process.plot = HistogramAnalyzer(histograms=[{"of": "energy", "bins": 20, "start": 0.0, "stop": 400.0, "unit": "GeV"}])
process.selected = Path(process.energy, process.central, process.plot)

result = process.run()

print(result.events, "events,", result.counts["selected"], "of them selected")  # noqa: T201
histogram = result.histograms["energy"]
mean = histogram.values() @ histogram.axes[0].centers / histogram.sum()
print(f"mean energy {mean:.1f} GeV")  # noqa: T201
