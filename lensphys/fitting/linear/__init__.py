"""Scenes whose light is a linear combination, fitted by variable projection."""
