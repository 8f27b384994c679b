"""Augmentation of lens images: the image changes, and the labels with it."""

from simulate.augment.augmentations import (
    Amount,
    Augmentation,
    Broaden,
    Compose,
    ExtraNoise,
    Offset,
    Shift,
    Symmetry,
)
from simulate.augment.lens_batch import LensBatch, Optics

__all__ = [
    "Amount",
    "Augmentation",
    "Broaden",
    "Compose",
    "ExtraNoise",
    "LensBatch",
    "Offset",
    "Optics",
    "Shift",
    "Symmetry",
]
