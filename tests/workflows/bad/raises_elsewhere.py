# KeyError: 'gain' (raised in helper_that_raises.py:6)  [raises_elsewhere.py:6]
from helper_that_raises import gain

from evproc.framework import Process

GAIN = gain({})
process = Process("BAD")
