"""Benchmarks: each compares two ways of doing the same work in one run; no test gates on them.

``figures`` (two sides in turns, their ratio, its goal), ``workload`` (the same work for
every side), ``sides`` (what is compared), ``generation``, ``startup``, ``sampling`` and
``store`` (what is measured), ``machine`` (what it was measured on), ``suite`` (all by name).
"""
