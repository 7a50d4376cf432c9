"""A fragment: a selection that several workflows load, tighter if they have the modifier `tight`."""

from evproc.framework import Modifier, Path
from evproc.modules import CountFilter, ScalarSumFilter

two_jets = CountFilter(of="Jet", at_least=2)
busy = ScalarSumFilter(of="Jet_pt", above=60.0)
dijets = Path(two_jets, busy)

tight = Modifier("tight")
tight.modify(busy, above=120.0)
