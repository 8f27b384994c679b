"""Heads with and without lens fits."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from learn.lens_fits.features import fit_features, search_features
from learn.lens_fits.lens_fits import NAMES
from learn.networks.head import FitEncoder, Head
from tests.learn.conftest import QUICK_FIT


def test_features_of_fits_come_in_units_of_their_scatter_in_training(random_fits: Any) -> None:
    """Training turns fits where it turns their images."""
    fits = random_fits(40, compared=True)
    head = FitEncoder(8).double()
    head.standardise(fits, turned=False)
    inputs = torch.cat([fit_features(fits), search_features(fits)], 1).double()
    scaled = (inputs - head.mean) / head.std
    varies = inputs.std(0) > 0
    torch.testing.assert_close(scaled.mean(0), torch.zeros_like(scaled[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        scaled.std(0, correction=0)[varies], torch.ones(int(varies.sum())).double()
    )
    assert not varies.all()  # all have converged: what is constant has no unit
    torch.testing.assert_close(head.std[~varies], torch.ones(int((~varies).sum())).double())
    # A fit that is far from all others has the same features as one that is farther.
    assert fits.deviation is not None
    far = [dataclasses.replace(fits, deviation=times * fits.deviation) for times in (1e9, 1e12)]
    with torch.no_grad():
        torch.testing.assert_close(*(head(one) for one in far))


@pytest.mark.parametrize("augment", [True, False])
def test_the_units_are_those_of_turned_images(
    look_alikes: Path, untrained_task: Any, random_fits: Any, augment: bool
) -> None:
    module, _ = untrained_task("classify", look_alikes, QUICK_FIT, f"augment={augment}")
    fits = module.learn_fits(random_fits(16), torch.arange(12)).rows(torch.arange(12))
    encoder = module.head.fit_encoder
    assert isinstance(encoder, FitEncoder)
    center = NAMES.index("source_center_x")
    expected = 0.0 if augment else fits.params["source_center_x"].asinh().mean().item()
    assert encoder.mean[center].item() == pytest.approx(expected, abs=1e-6)
    assert "head.fit_encoder.mean" in module.state_dict()


def test_a_head_without_fits_is_linear_in_the_features_and_leaves_fits_as_they_are(
    random_fits: Any,
) -> None:
    head, features, fits = Head(8, 3, sees_fit=False), torch.randn(5, 8), random_fits(5)
    assert torch.equal(head(features, None), head.last(head.norm(features)))
    assert head.learn_fits(fits, torch.arange(5), turned=True) is fits


def test_a_head_compares_fits_that_were_not_compared(random_fits: Any) -> None:
    head, features, fits = Head(8, 3, sees_fit=True).double(), torch.randn(9, 8), random_fits(9)
    features = features.double()
    compared = head.learn_fits(fits, torch.arange(6), turned=False)
    assert fits.deviation is None
    with torch.no_grad():
        torch.testing.assert_close(head(features, fits), head(features, compared))
        assert not torch.allclose(
            head(features, fits), head(features, fits.rows(torch.arange(8, -1, -1)))
        )
