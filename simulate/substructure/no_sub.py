"""Lenses without substructure."""

from simulate.substructure.base import Substructure

NO_SUB = Substructure("no_sub", draws={}, smooth=True)
