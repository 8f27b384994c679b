"""Weights that ship with the package: an encoder, and networks for the tasks."""
