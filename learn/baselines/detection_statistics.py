"""The trivial baseline beside networks that see lens fits: linear models of S/N statistics."""

from __future__ import annotations

from learn.baselines.linear import Features, LinearBaseline
from learn.lens_fits.features import SEARCH_FEATURES, search_features
from learn.lens_fits.lens_fits import LensFits


class DetectionBaseline(LinearBaseline[LensFits]):
    """A linear model of the S/N statistics of lens fits.

    The regularisation is the best of five for 100 and 200 labels a class of `physical`.
    """

    width = SEARCH_FEATURES
    strength = 1.0

    @staticmethod
    def features(given: LensFits) -> Features:
        return detection_features(given)


def detection_features(fits: LensFits) -> Features:
    """Features (N, 48) of lens fits; see :func:`learn.lens_fits.features.search_features`."""
    features: Features = search_features(fits).double().cpu().numpy()
    return features
