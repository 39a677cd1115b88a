"""Faults injected into small real trainings, and healthy trainings beside them: how often the rules of
`trimtab.findings` are right.

`python -m benchmarks.faults` trains all set-ups (kept in `--cache`), judges the half of the data sets on which no
threshold was set, and prints precision, recall and false alarms.
"""
