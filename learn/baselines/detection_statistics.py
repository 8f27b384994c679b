"""The trivial baseline beside networks that see lens fits: linear models of S/N statistics."""

from __future__ import annotations

import numpy as np

from learn.baselines.linear import Features, LinearBaseline
from learn.lens_fits.lens_fits import LensFits
from lensphys.detection.maps import STATISTICS

_FLOOR = 1e-3  # of a S/N: keeps the logarithm finite where no place sees a mass


class DetectionBaseline(LinearBaseline[LensFits]):
    """A linear model of the S/N statistics of a point mass on lens fits."""

    width = len(STATISTICS)
    strength = 0.3

    @staticmethod
    def features(given: LensFits) -> Features:
        return detection_features(given)


def detection_features(fits: LensFits) -> Features:
    """Logarithms of the S/N statistics of a point mass.

    They are the order statistics of :meth:`lensphys.detection.maps.DetectionMaps.statistics`, by
    their moduli: what the map of a matched filter holds without a network, and without labels.

    Args:
        fits: of N images, which hold those statistics first among theirs.

    Returns:
        (N, 24) features.
    """
    statistics = fits.statistics[:, : len(STATISTICS)].double().cpu().numpy()
    features: Features = np.log(np.abs(statistics) + _FLOOR)
    return features
