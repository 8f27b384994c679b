"""Light profiles of look-alikes: rings, and discs with spiral arms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys import Gaussian, Ring, Sersic, Spiral, pixel_grid, sersic_total_flux

RING = {"amp": 3.0, "R_ring": 0.8, "sigma": 0.15, "e1": -0.1, "e2": 0.15}
RING |= {"center_x": 0.1, "center_y": -0.2}
DISC = {"amplitude": 2.0, "R_sersic": 0.7, "n_sersic": 1.0, "e1": -0.1, "e2": 0.15}
DISC |= {"center_x": 0.1, "center_y": -0.2}
ARMS = {"arm_contrast": 1.4, "pitch": 0.4, "R_core": 0.2, "phi_arm": 0.3}
SPIRAL = DISC | ARMS
SHAPES = [(0.0, 0.0), (1e-4, 0.0), (-0.1, 0.25), (0.72, -0.54)]
PROFILES = [(Ring, RING), (Spiral, SPIRAL)]


def on_ellipse(R, angle, e1=0.0, e2=0.0, **_):
    """Positions on the ellipse of circularised radius R, by the angle in the plane of the disc."""
    u, v = R * torch.cos(angle), R * torch.sin(angle)
    scale = 1 / math.sqrt(1 - e1 * e1 - e2 * e2)
    return scale * ((1 + e1) * u + e2 * v), scale * ((1 - e1) * v + e2 * u)


def flux_on_polar_grid(profile, R_max, shape):
    """Integral over the plane: exact in the angle, Gauss-Legendre in the radius."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    R = torch.from_numpy(0.5 * R_max * (nodes + 1))[:, None]
    angle = torch.arange(256, dtype=torch.float64)[None] * (2 * math.pi / 256)
    x, y = on_ellipse(R, angle, *shape)
    ring = profile.surface_brightness(x, y).mean(-1)  # the map has a Jacobian of 1
    return (2 * math.pi * R[:, 0] * ring * torch.from_numpy(0.5 * R_max * weights)).sum().item()


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


@pytest.mark.parametrize(("cls", "p"), PROFILES)
@pytest.mark.parametrize(("e1", "e2"), SHAPES)
def test_gradients_are_right(e1, e2, cls, p, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    p = p | {"e1": e1, "e2": e2}
    check_gradients(
        lambda v: cls(**{k: v[k] for k in p}).surface_brightness(v["x"], v["y"]),
        p | {"x": x, "y": y},
    )


@pytest.mark.parametrize("m", [1, 3, 4])
def test_gradients_are_right_for_any_number_of_arms(m, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    check_gradients(lambda p: Spiral(m=m, **p).surface_brightness(x, y), SPIRAL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "p"), PROFILES)
@pytest.mark.parametrize("extreme", [{}, {"arm_contrast": 20.0}, {"arm_contrast": 0.0}])
def test_values_and_gradients_are_finite_at_the_centre(extreme, cls, p, dtype, gradients):
    x, y = pixel_grid((5, 7), 0.1, dtype=dtype)
    p = p | dict.fromkeys(("e1", "e2", "center_x", "center_y"), 0.0)
    p |= extreme if cls is Spiral else {"R_ring": 0.0}
    found = gradients(lambda v: cls(**{k: v[k] for k in p}).surface_brightness(x, y), p, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


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


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_every_parameter_has_a_gradient(cls, p, grid, gradients):
    found = gradients(lambda v: cls(**v).surface_brightness(*grid), p)
    assert all(gradient.abs() > 1e-6 for gradient in found.values())


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_a_batch_is_its_members_one_by_one(cls, p, grid):
    for name in p:
        batch = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64) * p[name]
        together = cls(**(p | {name: batch})).surface_brightness(*grid)
        single = [cls(**(p | {name: v.item()})).surface_brightness(*grid) for v in batch]
        torch.testing.assert_close(together, torch.stack(single), rtol=1e-13, atol=0)


@pytest.mark.parametrize(("cls", "p"), PROFILES)
def test_float32_is_float64_to_five_digits(cls, p):
    x, y = pixel_grid(40, 0.1)
    narrow = cls(**p).surface_brightness(x, y)
    assert narrow.dtype == torch.float32
    wide = cls(**p).surface_brightness(x.double(), y.double())
    assert (narrow - wide).abs().max() < 1e-5 * wide.max()


@pytest.mark.parametrize(
    ("cls", "p", "name", "bad"),
    [
        (Ring, RING, "amp", -1.0),
        (Ring, RING, "R_ring", -0.1),
        (Ring, RING, "sigma", 0.0),
        (Spiral, SPIRAL, "amplitude", -1.0),
        (Spiral, SPIRAL, "arm_contrast", -0.1),
        (Spiral, SPIRAL, "arm_contrast", 21.0),
        (Spiral, SPIRAL, "pitch", 0.0),
        (Spiral, SPIRAL, "pitch", math.pi),
        (Spiral, SPIRAL, "R_core", 0.0),
        (Spiral, SPIRAL, "phi_arm", math.nan),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(cls, p, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        cls(**(p | {name: bad}))


@pytest.mark.parametrize("m", [0, -2, 2.0, True, "2"])
def test_a_spiral_has_a_whole_number_of_arms(m):
    with pytest.raises(ValueError, match=r"^m must be a whole number from 1 on, got "):
        Spiral(m=m, **SPIRAL)
