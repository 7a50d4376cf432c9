# TypeError: process.answer must be a module, a path, a task or a service, not int  [part_is_number.py:5]
from evproc.framework import Process

process = Process("BAD")
process.answer = 42
