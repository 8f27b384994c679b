"""LeJEPA."""

from typing import Any

import pytest
import torch

from tests.learn.methods.conftest import images


def test_agreement_is_whole_where_both_views_are_the_same(build: Any) -> None:
    module, image = build("lejepa"), images(8)
    own, other = (module.loss(image, view) for view in (image, image.roll(1, 0)))
    assert own["invariance"].item() == pytest.approx(0, abs=1e-10)
    assert other["invariance"] > 1e-4


def test_a_gaussian_is_told_from_a_point_and_from_two_clusters(build: Any) -> None:
    module = build("lejepa")
    generator = torch.Generator().manual_seed(0)
    gaussian = torch.randn(40, 100, 16, generator=generator)
    clusters = gaussian / 10 + torch.randn(40, 100, 1, generator=generator).sign()
    # Epps and Pulley's statistic of N standard normal numbers has the mean
    # int exp(-t^2 / 2) (1 - exp(-t^2)) dt = sqrt(2 pi) (1 - 1 / sqrt(3)), here from -3 to 3.
    assert module.sigreg(gaussian).item() == pytest.approx(1.0525, rel=0.1)
    assert module.sigreg(clusters) > 5 * module.sigreg(gaussian)
    point = module.blind_losses(256)["sigreg"]
    # int exp(-t^2 / 2) (1 - exp(-t^2 / 2))^2 dt, from -3 to 3, times N
    assert point == pytest.approx(256 * 0.40205, rel=1e-4)
    assert module.sigreg(torch.full((2, 256, 16), 0.3)) > point, "the origin is the best point"


def test_the_loss_is_the_weighted_sum_of_its_parts(build: Any) -> None:
    found = build("lejepa", "params.sigreg_weight=0.3").loss(images(8), images(8))
    parts = 0.7 * found["invariance"] + 0.3 * found["sigreg"]
    assert found["loss"].item() == pytest.approx(parts.item(), rel=1e-6)
