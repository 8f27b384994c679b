"""Sersic disc with logarithmic spiral arms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys import Sersic, Spiral, pixel_grid, sersic_total_flux
from tests.lensphys.light.profiles import ARMS, DISC, SHAPES, SPIRAL, flux_on_polar_grid, on_ellipse


@settings(max_examples=25, deadline=None)
@given(
    m=st.integers(1, 5),
    contrast=st.floats(0, 5),
    pitch=st.floats(0.1, 3),
    modulus=st.sampled_from([0.0, 1e-4]) | st.floats(0, 0.8),
    R=st.floats(1e-3, 3),
)
def test_arms_leave_the_mean_brightness_of_every_ellipse_as_it_is(m, contrast, pitch, modulus, R):
    shape = {"e1": 0.6 * modulus, "e2": -0.8 * modulus, "center_x": 0.0, "center_y": 0.0}
    angle = torch.arange(256, dtype=torch.float64)[None] * (2 * math.pi / 256)
    x, y = on_ellipse(R, angle, **shape)
    changed = {"arm_contrast": contrast, "pitch": pitch} | shape
    mean = Spiral(m=m, **(SPIRAL | changed)).surface_brightness(x, y).mean().item()
    disc = Sersic(**(DISC | shape)).surface_brightness(x, y)[0, 0].item()
    assert mean == pytest.approx(disc, rel=1e-11)


@pytest.mark.parametrize(("e1", "e2"), SHAPES)
def test_the_flux_of_a_spiral_is_that_of_its_disc(e1, e2):
    spiral = Spiral(**(SPIRAL | {"e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0}))
    flux = flux_on_polar_grid(spiral, 15.0, (e1, e2))
    assert flux == pytest.approx(sersic_total_flux(2.0, 0.7, 1.0), rel=1e-6)


def test_without_contrast_a_spiral_is_a_sersic(grid):
    found = Spiral(**(SPIRAL | {"arm_contrast": 0.0})).surface_brightness(*grid)
    torch.testing.assert_close(found, Sersic(**DISC).surface_brightness(*grid), rtol=1e-13, atol=0)


@pytest.mark.parametrize("pitch", [0.3, 0.6, math.pi - 0.3])
def test_the_arms_cross_circles_at_their_pitch(pitch):
    """Far outside the core a crest moves by d ln(R) / tan(pitch) in angle."""
    round_ = {"e1": 0.0, "e2": 0.0, "center_x": 0.0, "center_y": 0.0, "R_core": 1e-3}
    spiral = Spiral(**(SPIRAL | round_ | {"pitch": pitch}))
    angle = torch.arange(20000, dtype=torch.float64)[None] * (2 * math.pi / 20000)
    crests = []
    for R in (0.5, 0.55):
        brightness = spiral.surface_brightness(*on_ellipse(R, angle))
        crests.append(angle[0, brightness.argmax()].item() % math.pi)
    moved = (crests[1] - crests[0] + math.pi / 2) % math.pi - math.pi / 2
    assert moved == pytest.approx(math.log(1.1) / math.tan(pitch), abs=4e-4)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_a_spiral_has_so_many_arms_of_so_much_contrast(m):
    spiral = Spiral(m=m, **(SPIRAL | {"R_core": 1e-4, "e1": 0.0, "e2": 0.0, "center_x": 0.0}))
    angle = torch.arange(1000, dtype=torch.float64)[None] * (2 * math.pi / 1000)
    x, y = on_ellipse(1.0, angle)
    brightness = spiral.surface_brightness(x, y - 0.2)[0]
    peaks = (brightness > brightness.roll(1)) & (brightness >= brightness.roll(-1))
    assert peaks.sum() == m
    contrast = math.exp(2 * ARMS["arm_contrast"])
    assert (brightness.max() / brightness.min()).item() == pytest.approx(contrast, rel=1e-3)


@pytest.mark.parametrize("m", [1, 3, 4])
def test_gradients_are_right_for_any_number_of_arms(m, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    check_gradients(lambda p: Spiral(m=m, **p).surface_brightness(x, y), SPIRAL)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_arms_fade_smoothly_into_the_centre(m):
    """The slope is the same on either side of the centre, along any direction."""
    flat = {"n_sersic": 0.5, "e1": 0.0, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}
    spiral = Spiral(m=m, **(SPIRAL | flat))
    for angle in (0.0, 0.7, 2.0):
        t = torch.tensor([[-1e-5, 1e-5]], dtype=torch.float64)
        x, y = (t * v).requires_grad_() if (v := math.cos(angle)) else t, t * math.sin(angle)
        (slope,) = torch.autograd.grad(spiral.surface_brightness(x, y).sum(), x)
        assert abs(slope[0, 1] - slope[0, 0]).item() < 2e-2


@pytest.mark.parametrize("m", [0, -2, 2.0, True, "2"])
def test_a_spiral_has_a_whole_number_of_arms(m):
    with pytest.raises(ValueError, match=r"^m must be a whole number from 1 on, got "):
        Spiral(m=m, **SPIRAL)
