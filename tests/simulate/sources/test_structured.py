"""Sources with structure: their light, their arms, their clumps."""

import dataclasses

import numpy as np
import pytest
import torch

import lensphys as lp
from simulate.presets import load_simulate_config
from simulate.sources.structured import (
    DRAWS,
    MOST_CLUMPS,
    REACH,
    SIZE,
    STRUCTURE_LABELS,
    PaintedSource,
    Structures,
    disc_amplitude,
    draw_structures,
    paint,
)

N = 400
LIKE = torch.empty(0, dtype=torch.float64)


@pytest.fixture(scope="module")
def config():
    return load_simulate_config(2, "realistic").source.structure


@pytest.fixture(scope="module")
def drawn(config):
    return draw_structures(config, np.random.default_rng(4).random((DRAWS, N)))


def smooth(contrast=0.0):
    """A disc without bulge or clumps."""
    values = dict.fromkeys(STRUCTURE_LABELS, 0.0)
    values |= {"source_bulge_size": 0.3, "source_arms": 2.0, "source_pitch": 0.3}
    values |= {"source_arm_contrast": contrast}
    labels = {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}
    clumps = torch.zeros(1, MOST_CLUMPS, 4, dtype=torch.float64)
    clumps[..., 3] = 0.1
    return Structures(labels, clumps)


def on_sky(picture, **changes):
    p = {"flux": 3.0, "R_sersic": 0.3, "e1": 0.2, "e2": -0.1, "center_x": 0.05, "center_y": 0.0}
    columns = {name: torch.full((len(picture),), value) for name, value in (p | changes).items()}
    return PaintedSource(picture, **columns)


def test_clumps_hold_the_share_that_is_their_label(config, drawn):
    flux = drawn.clumps[..., 0]
    assert torch.allclose(flux.sum(1), drawn.labels["source_clump_share"])
    number = (flux > 0).sum(1).double()
    assert torch.equal(number, drawn.labels["source_n_clumps"])
    assert number.mean().item() == pytest.approx(config.clumps, rel=0.1)


def test_every_source_has_the_flux_of_its_label_on_the_sky(drawn):
    picture = paint(drawn.select(torch.arange(8)), torch.ones(8, dtype=torch.float64), LIKE)
    assert picture.shape == (8, SIZE, SIZE)
    x, y = lp.pixel_grid(300, 0.01, dtype=torch.float64)
    source = on_sky(picture)
    light = source.surface_brightness(x.expand(8, -1, -1), y.expand(8, -1, -1)).sum((1, 2)) * 1e-4
    assert light.numpy() == pytest.approx(3.0, rel=0.01)


def test_a_source_without_structure_is_a_sersic_disc():
    picture = paint(smooth(), torch.ones(1, dtype=torch.float64), LIKE)
    x, y = (v[None] for v in lp.pixel_grid(50, 0.02, dtype=torch.float64))
    found = on_sky(picture).surface_brightness(x, y)
    p = {"R_sersic": 0.3, "n_sersic": 1.0, "e1": 0.2, "e2": -0.1, "center_x": 0.05}
    amplitude = 3.0 / 0.3**2 * disc_amplitude(torch.ones(1, dtype=torch.float64))
    disc = lp.Sersic(amplitude=amplitude.item(), **p)
    expected = disc.surface_brightness(x, y)
    # The cusp is rounded.
    outside = torch.hypot(x - 0.05, y) > 0.08
    ratio = (found / expected)[outside]
    assert ratio.mean().item() == pytest.approx(1, abs=0.005)
    assert ratio.std().item() < 0.01


@pytest.mark.parametrize("n_sersic", [0.5, 1.0, 2.5])
def test_the_amplitude_of_a_disc_is_its_brightness_at_the_half_light_radius(n_sersic):
    """Brightness of the picture, which ends at its edge; an endless disc has up to 10% less."""
    n = torch.tensor([n_sersic], dtype=torch.float64)
    picture = paint(smooth(), n, LIKE)
    angle = torch.linspace(0, 2 * np.pi, 100, dtype=torch.float64)[None, None]
    round_ = on_sky(picture, flux=1.0, R_sersic=1.0, e1=0.0, e2=0.0, center_x=0.0)
    found = round_.surface_brightness(torch.cos(angle), torch.sin(angle)).mean().item()
    assert found == pytest.approx(disc_amplitude(n).item(), rel=5e-3)


def test_arms_move_light_around_circles_and_add_none():
    plain, armed = (
        paint(smooth(contrast), torch.ones(1, dtype=torch.float64), LIKE)[0]
        for contrast in (0.0, 1.0)
    )
    axis = (torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2) * (2 * REACH / SIZE)
    r = torch.hypot(axis, axis[:, None])
    for low, high in ((0.6, 1.0), (1.0, 1.6), (1.6, 2.4)):
        ring = (r > low) & (r < high)
        assert (armed[ring].mean() / plain[ring].mean()).item() == pytest.approx(1, abs=0.02)
        contrast = armed[ring] / plain[ring]
        assert 1.5 < (contrast.max() / contrast.min()).item() < np.exp(2) * 1.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pictures_have_the_precision_asked_for(drawn, dtype):
    some = drawn.select(torch.arange(3))
    picture = paint(some, torch.ones(3, dtype=torch.float64), torch.empty(0, dtype=dtype))
    assert picture.dtype == dtype
    exact = paint(some, torch.ones(3, dtype=torch.float64), LIKE)
    assert torch.allclose(picture.double(), exact, atol=1e-4 * exact.max().item())


def test_a_source_is_dark_beyond_its_picture():
    picture = paint(smooth(), torch.ones(1, dtype=torch.float64), LIKE)
    far = torch.tensor([[[REACH * 0.3 * 1.6 + 0.05, 50.0]]], dtype=torch.float64)
    source = dataclasses.replace(on_sky(picture), e1=torch.zeros(1), e2=torch.zeros(1))
    assert not source.surface_brightness(far, torch.zeros_like(far)).any()
