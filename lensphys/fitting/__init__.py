"""Lens modelling: parametric scenes fitted to batches of images."""
