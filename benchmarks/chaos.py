"""What a job survives: servers that are killed, hang, refuse, answer late, twice, never or wrongly, under load.

    python -m benchmarks.chaos [--quick]

Each scenario (`chaos_scenarios`) runs a job on real Tritons, on fake servers in processes of their own, or in threads, and
lets something happen to them while requests are under way. In each, every event must come out once, in order, with the
value of a run without faults; where a fault cannot be survived (one event's answers are always wrong), that event and no
other is named as failed. One scenario sends very many requests, one for each event, and looks at memory and descriptors.
`survived` is the part of the scenarios in which all that holds; `lost`, `twice` and `wrong` count events over all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.chaos_scenarios import FAKE, NAMED, REAL, Scenario, another_version, growth, unavailable
from benchmarks.common import Figure, arguments, by_size, number, show, spread
from evproc.framework.errors import RequestRejected


def main(argv: Sequence[str] | None = None) -> None:
    """Run all scenarios, and print what came of them."""
    options = arguments(__doc__, argv)
    events = by_size(options, 4000, 1000, 300)
    requests = by_size(options, 1_000_000, 20_000, 2_000)
    away = by_size(options, 60.0, 3.0, 0.5)
    some = by_size(options, None, None, 1)  # of each kind; None: all
    scenarios: dict[str, Scenario] = {
        **dict(islice(REAL.items(), some)),
        **dict(islice(FAKE.items(), some)),
        f"UNAVAILABLE for {away:g} s": partial(unavailable, away),
        **dict(islice(NAMED.items(), some)),
        "another version, not asked for": another_version,
        f"{requests:,} requests": partial(growth, requests),
    }
    rows: list[tuple[str, ...]] = []
    lost = twice = wrong = survived = 0
    for name, scenario in scenarios.items():
        words = ""
        with tempfile.TemporaryDirectory(prefix="evproc-chaos-") as folder:
            try:
                outcome = scenario(events, Path(folder))
            except AssertionError as error:
                rows.append((name, "-", "-", "-", "-", "-", "-", str(error)))
                continue
        ended = scenario is another_version and isinstance(outcome.error, RequestRejected) and not outcome.wrong
        good = outcome.clean or ended
        survived += good
        wrong += len(outcome.wrong)
        if not ended:
            lost += len(outcome.lost)
            twice += len(outcome.twice)
        words = (
            "the job ends, and says so" if ended else "as without faults" if outcome.clean else str(outcome.error or "")
        )
        if good and outcome.failed:
            words = f"named as failed: {len(outcome.failed)}, event {', '.join(map(str, outcome.failed))}"
        counts = (len(outcome.rows), len(outcome.failed), len(outcome.lost) * (not ended), len(outcome.twice))
        rows.append((name, *map(str, counts), str(len(outcome.wrong)), number(outcome.seconds), words[:70]))
    show(
        f"chaos: {events:,} events in each scenario",
        ("scenario", "came out", "failed", "lost", "twice", "wrong", "s", "outcome"),
        rows,
        [
            Figure(
                "survived", spread([survived / len(scenarios)]), 1.0, None, False, "scenarios with the right outcome"
            ),
            Figure("lost", spread([float(lost)]), 0.0, None, True, "events without value or failure"),
            Figure("twice", spread([float(twice)]), 0.0, None, True, "events that came out twice"),
            Figure("wrong", spread([float(wrong)]), 0.0, None, True, "events with a wrong value"),
        ],
        [
            "In the scenario of another version the job must end with the server's refusal, and the rest does not come out."
        ],
    )


if __name__ == "__main__":
    main()
