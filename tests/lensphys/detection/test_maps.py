"""Maps of a search, and their order statistics."""

import pytest
import torch

from lensphys.detection.maps import STATISTICS, DetectionMaps


def maps(snr, error_fixed, **changes):
    given = {
        "snr": snr,
        "mass": snr * 0.1,
        "error": torch.full_like(snr, 0.1),
        "least_mass": torch.full_like(snr, 0.5),
        "snr_fixed": 0.5 * snr,
        "error_fixed": error_fixed,
        "angle": None,
        "x": torch.zeros(snr.shape[1:]),
        "y": torch.zeros(snr.shape[1:]),
        "profile": "point_mass",
        "unit": "arcsec^2",
    }
    return DetectionMaps(**given | changes)


def test_statistics_are_extremes_sums_and_quantiles_of_the_places_that_see():
    snr = torch.arange(-50.0, 51.0).repeat(2, 1, 1)
    error_fixed = torch.full_like(snr, 0.01)
    snr[:, :, -1], error_fixed[:, :, -1] = 1e6, 1.0  # a place that sees next to nothing
    snr[:, :, 0] = torch.nan
    found = maps(snr, error_fixed).statistics()
    assert found.shape == (2, len(STATISTICS)) == (2, 24)
    own, fixed = found.view(2, 2, 12)[0]
    left = torch.arange(-49.0, 50.0)
    assert own[:4].tolist() == pytest.approx([49, 49, -49, left.square().sum().sqrt().item()])
    levels = torch.tensor([0.5, 0.75, 0.9, 0.97])
    torch.testing.assert_close(own[4:8], torch.quantile(left.abs(), levels))
    levels = torch.tensor([0.03, 0.1, 0.9, 0.97])
    torch.testing.assert_close(own[8:], torch.quantile(left, levels))
    torch.testing.assert_close(fixed, 0.5 * own)


def test_statistics_of_an_image_that_sees_nothing_are_zero():
    nothing = torch.full((1, 3, 3), torch.nan)
    assert maps(nothing, nothing).statistics().tolist() == [[0.0] * 24]


def test_maps_print_in_a_line():
    snr = torch.tensor([[[1.0, -7.25], [torch.nan, 0.0]]])
    assert repr(maps(snr, snr.abs(), unit="solar masses")) == (
        "DetectionMaps(point_mass, 1 images of 2 x 2 places, masses in solar masses, largest |S/N| "
        "7.25)"
    )
