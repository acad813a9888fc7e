"""Worlds whose causal effects are known exactly, with a dial for every assumption that can be violated.

Nothing here imports an estimator: a known answer must not come from the code that it is meant to check.
"""
