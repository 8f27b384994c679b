"""Loop over the pixels near the centre of a Sersic profile: the same numbers as torch."""

import pytest
import torch

import lensphys as lp
from lensphys.light import pixel_means

WIDTH = 0.1


def by_torch(profile, x, y, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pixel_means, "_compiled", lambda *_: None)
        return profile.mean_brightness(x, y, WIDTH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loop_is_the_formula(dtype, monkeypatch):
    random = torch.Generator().manual_seed(1)

    def draw(low, high):
        return low + (high - low) * torch.rand(24, generator=random, dtype=torch.float64)

    galaxies = lp.Sersic(
        amplitude=draw(1, 2),
        R_sersic=draw(0.03, 2.0),
        n_sersic=draw(0.5, 10),
        e1=draw(-0.6, 0.6),
        e2=draw(-0.5, 0.5),
        center_x=draw(-0.5, 0.5),
        center_y=draw(-0.5, 0.5),
    )
    x, y = lp.pixel_grid((20, 31), WIDTH, dtype=dtype)
    found, expected = galaxies.mean_brightness(x, y, WIDTH), by_torch(galaxies, x, y, monkeypatch)
    assert found.dtype == expected.dtype == dtype
    top = expected.amax((-2, -1), keepdim=True)
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    assert ((found - expected).abs() / top).max() < tolerance
