"""Data sets of strong gravitational lenses: DeepLense Models 1, 2 and 3, made and kept."""
