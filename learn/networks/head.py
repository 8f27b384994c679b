"""The head of most tasks: linear in features of an image, and of the lens fitted to it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from learn.lens_fits.features import FEATURES, SEARCH_FEATURES, fit_features, search_features
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.usual_lens import UsualLens
from learn.views.symmetries import turn_fits

#: Width of the layers behind the features of a fit; how far from their means these may lie, in
#: units of their scatter; and the scatter of rounding alone.
_HIDDEN, _FAR, _CONSTANT = 128, 5.0, 1e-6


#: Numbers about a fit that a head receives.
_NUMBERS = FEATURES + SEARCH_FEATURES


class FitEncoder(nn.Module):
    """Learnt features (B, width) of lens fits, from their numbers in units of their scatter.

    The numbers are those of :func:`fit_features` and :func:`search_features`.

    Fits that have not been compared with the usual lens of the training images are compared here.

    Images of one lens hardly differ: they are told apart by small parts of the numbers, and by
    combinations of them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.usual_lens = UsualLens()
        self.register_buffer("mean", torch.zeros(_NUMBERS))
        self.register_buffer("std", torch.ones(_NUMBERS))
        sizes = (_NUMBERS, _HIDDEN, _HIDDEN, width)
        layers = [(nn.Linear(*pair), nn.GELU()) for pair in itertools.pairwise(sizes)]
        self.layers = nn.Sequential(*itertools.chain(*layers), nn.LayerNorm(width))

    def standardise(self, fits: LensFits, *, turned: bool) -> None:
        """Take the units from the fits of the training images, compared with their usual lens.

        Args:
            fits: of N images.
            turned: the images are shown in all eight symmetries.
        """
        symmetries = torch.arange(8 if turned else 1)[:, None].expand(-1, len(fits))
        given = torch.cat([_describe(turn_fits(fits, one)) for one in symmetries]).double()
        self.mean.copy_(given.mean(0))
        scatter = given.std(0, correction=0)
        self.std.copy_(torch.where(scatter > _CONSTANT, scatter, 1.0))

    def forward(self, fits: LensFits) -> Tensor:
        """Features of fits."""
        given = _describe(fits if fits.deviation is not None else self.usual_lens.compare(fits))
        scaled = ((given.to(self.mean) - self.mean) / self.std).clamp(-_FAR, _FAR)
        features: Tensor = self.layers(scaled)
        return features


def _describe(fits: LensFits) -> Tensor:
    """Numbers (B, F) about fits, which have been compared with a usual lens."""
    return torch.cat([fit_features(fits), search_features(fits)], 1)


class Head(nn.Module):
    """A linear layer on the features of images, and on those of their lens fits where it has them.

    Both are normalised, each by itself: under one norm the larger would dominate.

    Args:
        width: of the features of an image.
        outputs: number of outputs for an image.
        sees_fit: the head also receives the lens fits.
    """

    def __init__(self, width: int, outputs: int, *, sees_fit: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fit_encoder = FitEncoder(width) if sees_fit else None
        self.last = nn.Linear(2 * width if sees_fit else width, outputs)

    def learn_fits(self, fits: LensFits, train: Tensor, *, turned: bool) -> LensFits:
        """Take the usual lens, and the units of features, from the fits of the training images.

        Args:
            fits: of all images.
            train: indices of the training images.
            turned: the images are shown in all eight symmetries.

        Returns:
            The fits of all images, compared with the usual lens if the head receives fits.
        """
        if self.fit_encoder is None:
            return fits
        training = fits.without_channels().rows(train)
        self.fit_encoder.usual_lens.learn(training)
        # The usual lens need not be the same in all directions: compared first, then turned.
        compared = self.fit_encoder.usual_lens.compare(fits)
        self.fit_encoder.standardise(compared.without_channels().rows(train), turned=turned)
        return compared

    def forward(self, features: Tensor, fits: LensFits | None) -> Tensor:
        """Numbers (B, outputs) from features (B, width) and lens fits of B images."""
        parts = [self.norm(features)]
        if self.fit_encoder is not None:
            assert fits is not None
            parts.append(self.fit_encoder(fits).to(parts[0].dtype))
        outputs: Tensor = self.last(torch.cat(parts, 1))
        return outputs
