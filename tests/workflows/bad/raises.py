# ValueError: the calibration is from 2019  [raises.py:5]
from evproc.framework import Process

process = Process("BAD")
raise ValueError("the calibration is from 2019")
