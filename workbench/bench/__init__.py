"""Benchmarks: each compares two ways of doing the same work in one run; no test gates on them."""
