"""Trivial baselines: simple features and a linear classifier, which a network has to beat."""
