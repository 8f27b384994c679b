"""The head of most tasks: linear in features of an image, and of the lens fitted to it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from learn.lens_fits.parameters import FACTS, Fit, facts
from learn.lens_fits.population import Population
from learn.views.symmetries import turned_fit

#: Width of the layers between facts and their features; how far from their mean facts may lie, in
#: units of their scatter, and the scatter of rounding alone.
_HIDDEN, _FAR, _CONSTANT = 128, 5.0, 1e-6


class Facts(nn.Module):
    """Features (B, width) of :func:`facts`, in units of their scatter among training images.

    Fits that have not been compared with the population of the training images are.

    Where images hardly differ, as those of one lens, what tells them apart is a small part of a
    number; and it is how the numbers go together that does.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.population = Population()
        self.register_buffer("mean", torch.zeros(FACTS))
        self.register_buffer("std", torch.ones(FACTS))
        sizes = (FACTS, _HIDDEN, _HIDDEN, width)
        layers = [(nn.Linear(*pair), nn.GELU()) for pair in itertools.pairwise(sizes)]
        self.layers = nn.Sequential(*itertools.chain(*layers), nn.LayerNorm(width))

    def standardise(self, fit: Fit, *, turned: bool) -> None:
        """Take the units from the fits of the training images, compared with their population.

        Args:
            fit: of N images.
            turned: the images are shown in all eight symmetries.
        """
        symmetries = torch.arange(8 if turned else 1)[:, None].expand(-1, len(fit.chi2_dof))
        told = torch.cat([facts(turned_fit(fit, symmetry)) for symmetry in symmetries]).double()
        self.mean.copy_(told.mean(0))
        scatter = told.std(0, correction=0)
        self.std.copy_(torch.where(scatter > _CONSTANT, scatter, 1.0))

    def forward(self, fit: Fit) -> Tensor:
        """Features of fits."""
        told = facts(fit if fit.deviation is not None else self.population.compared(fit))
        scaled = ((told.to(self.mean) - self.mean) / self.std).clamp(-_FAR, _FAR)
        features: Tensor = self.layers(scaled)
        return features


class Head(nn.Module):
    """A linear layer on the features of images, and on those of their fits where it is told them.

    Both are normalised, each by itself: one norm over both would give the louder the say.

    Args:
        width: of the features of an image.
        outputs: how many numbers an image is given.
        sees_fit: whether the head is told of the fits.
    """

    def __init__(self, width: int, outputs: int, *, sees_fit: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.facts = Facts(width) if sees_fit else None
        self.last = nn.Linear(2 * width if sees_fit else width, outputs)

    def forward(self, features: Tensor, fit: Fit | None) -> Tensor:
        """Numbers (B, outputs) from features (B, width)."""
        parts = [self.norm(features)]
        if self.facts is not None:
            assert fit is not None
            parts.append(self.facts(fit).to(parts[0].dtype))
        outputs: Tensor = self.last(torch.cat(parts, 1))
        return outputs
