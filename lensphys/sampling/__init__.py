"""Posteriors: draws of the parameters of fitted lenses."""
