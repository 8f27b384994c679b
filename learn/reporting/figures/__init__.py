"""Figures of runs: one file a task, and those of training and audit."""
