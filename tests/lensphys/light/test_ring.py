"""Elliptical ring of Gaussian profile."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys import Gaussian, Ring
from tests.lensphys.light.profiles import RING, SHAPES, flux_on_polar_grid, on_ellipse


@settings(max_examples=25, deadline=None)
@given(
    R_ring=st.floats(0, 2),
    sigma=st.floats(0.05, 1),
    modulus=st.sampled_from([0.0, 1e-4]) | st.floats(0, 0.8),
    angle=st.floats(0, 2 * math.pi),
)
def test_the_flux_of_a_ring_is_its_amplitude(R_ring, sigma, modulus, angle):
    shape = (modulus * math.cos(angle), modulus * math.sin(angle))
    ring = Ring(amp=3.0, R_ring=R_ring, sigma=sigma, e1=shape[0], e2=shape[1])
    flux = flux_on_polar_grid(ring, R_ring + 10 * sigma, shape)
    # The flat core, 1e-4 arcsec wide, adds up to 1e-8.
    assert flux == pytest.approx(3.0, rel=1e-8)


def test_a_ring_without_radius_is_a_gaussian(grid):
    shape = {"e1": 0.2, "e2": -0.1, "center_x": 0.05}
    found = Ring(amp=3.0, R_ring=0.0, sigma=0.4, **shape).surface_brightness(*grid)
    expected = Gaussian(amp=3.0, sigma=0.4, **shape).surface_brightness(*grid)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("e1", "e2"), SHAPES)
def test_a_ring_is_brightest_and_even_on_its_ellipse(e1, e2):
    ring = Ring(**(RING | {"e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0}))
    angle = torch.linspace(0, 2 * math.pi, 33, dtype=torch.float64)[None]
    crest, inside, outside = (
        ring.surface_brightness(*on_ellipse(R, angle, e1, e2)) for R in (0.8, 0.65, 0.95)
    )
    torch.testing.assert_close(crest, crest[:, :1].expand_as(crest), rtol=1e-12, atol=0)
    for side in (inside, outside):  # one standard deviation away
        torch.testing.assert_close(side / crest, torch.full_like(side, math.exp(-0.5)))
