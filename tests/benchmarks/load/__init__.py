"""Sustained searches while an import runs: ``python -m tests.benchmarks.load``."""
