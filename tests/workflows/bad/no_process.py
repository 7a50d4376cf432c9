# a workflow file defines `process = Process(...)`: it defines no Process  [no_process.py]
X = 1
