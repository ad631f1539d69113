"""Benchmarks: what the engine costs beside a floor of the same work, in one run on one machine.

`python -m tests.benchmarks` runs all and prints tables; `--only throughput` runs one part. Nothing here asserts a time:
machines differ, so what counts is the ratio between two measurements of the same run.
"""
