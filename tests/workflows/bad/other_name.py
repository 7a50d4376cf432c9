# a workflow file defines `process = Process(...)`: the Process here is named 'job'; name it `process`  [other_name.py]
from evproc.framework import Process

job = Process("BAD")
