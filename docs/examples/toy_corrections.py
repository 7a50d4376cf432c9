"""Makes a small file in the form of correctionlib, with one correction `scale`, for those who have none at hand.

python docs/examples/toy_corrections.py jec.json --scale 1.02
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

from correctionlib import schemav2


def toy_corrections(scale: float) -> schemav2.CorrectionSet:
    """One correction of jets: a formula of pt and the energy density in three bins of eta, nominal or up by 2 %."""

    def binning(factor: float) -> schemav2.Binning:
        formulas: list[Any] = [
            schemav2.Formula(
                nodetype="formula",
                expression=f"{factor} * (1 + {slope} * log(x / 30) - 0.0005 * y)",
                parser="TFormula",
                variables=["pt", "rho"],
            )
            for slope in (0.02, 0.01, 0.02)
        ]
        return schemav2.Binning(
            nodetype="binning", input="eta", edges=[-5, -1.3, 1.3, 5], content=formulas, flow="clamp"
        )

    variations = [
        schemav2.CategoryItem(key=key, value=binning(scale * by)) for key, by in (("nominal", 1.0), ("up", 1.02))
    ]
    inputs = [schemav2.Variable(name=name, type="real") for name in ("eta", "pt", "rho")]
    correction = schemav2.Correction(
        name="scale",
        version=1,
        inputs=[*inputs, schemav2.Variable(name="systematic", type="string")],
        output=schemav2.Variable(name="factor", type="real"),
        data=schemav2.Category(nodetype="category", input="systematic", content=variations),
    )
    return schemav2.CorrectionSet(schema_version=2, corrections=[correction])


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args()
    text = toy_corrections(chosen.scale).model_dump_json(exclude_unset=True).encode()
    chosen.file.write_bytes(gzip.compress(text) if chosen.file.suffix == ".gz" else text)


if __name__ == "__main__":
    main()
