"""Light in the image plane of a batch is that of its images one by one."""

import dataclasses

import numpy as np
import pytest
import torch

import lensphys as lp
from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.light.components import Components
from simulate.light.foreground import Foreground
from simulate.light.lens_light import draw_lens_light
from simulate.scenes import Scene
from tests.simulate.light.draws import LENS_LIGHT, MASS, NON_LENS, VIS, draw_non_lens


def batch(n=12):
    rng = np.random.default_rng(8)
    lights = [draw_lens_light(LENS_LIGHT, rng, VIS, **MASS) for _ in range(n // 2)]
    return lights + [draw_non_lens(NON_LENS, rng, VIS) for _ in range(n - n // 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_images_one_by_one(dtype):
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=dtype)
    drawn = batch()
    together = Foreground.stack(drawn).surface_brightness(x, y)
    assert (together.dtype, together.shape) == (dtype, (12, 9, 11))
    single = torch.cat([Foreground.stack([one]).surface_brightness(x, y) for one in drawn])
    torch.testing.assert_close(together, single, rtol=1e-5, atol=0)


def test_a_batch_of_positions_is_taken_row_by_row():
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=torch.float64)
    light = Foreground.stack(batch())
    many = light.surface_brightness(x.expand(12, -1, -1), y.expand(12, -1, -1))
    torch.testing.assert_close(many, light.surface_brightness(x, y), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rows", [slice(2, 9), torch.tensor([7, 1, 1]), torch.arange(12) % 3 == 0])
def test_selected_rows_are_those_of_the_batch(rows):
    x, y = lp.pixel_grid((9, 11), 0.3, dtype=torch.float64)
    light = Foreground.stack(batch())
    chosen = light.select(rows)
    expected = light.surface_brightness(x, y)[rows]
    assert len(chosen) == len(expected)
    torch.testing.assert_close(chosen.surface_brightness(x, y), expected, rtol=1e-12, atol=0)
    for name, values in light.labels.items():
        torch.testing.assert_close(chosen.labels[name], values[rows], equal_nan=True)


def test_concatenated_batches_are_one_batch():
    drawn = batch()
    parts = [Foreground.stack(drawn[:5]), Foreground.stack(drawn[5:6]), Foreground.stack(drawn[6:])]
    found, expected = Foreground.concatenate(parts), Foreground.stack(drawn)
    assert len(found) == 12
    for kind, table in expected.columns.items():
        for name, values in table.items():
            assert torch.equal(found.columns[kind][name], values)
    for name, values in expected.labels.items():
        torch.testing.assert_close(found.labels[name], values, equal_nan=True, rtol=0, atol=0)


def test_labels_that_do_not_apply_are_nan():
    labels = Foreground.stack(batch()).labels
    assert torch.isnan(labels["non_lens_kind"]).tolist() == [True] * 6 + [False] * 6
    assert torch.isnan(labels["lens_light_e1"]).tolist() == [False] * 6 + [True] * 6


@pytest.mark.parametrize("none", [[], [Components(())], [Components(())] * 3])
def test_images_without_light_are_dark(none):
    light = Foreground.stack(none)
    x, y = lp.pixel_grid(4, 0.3)
    assert light.surface_brightness(x, y).shape == (len(none), 4, 4)
    assert not light.surface_brightness(x, y).any()
    assert len(Foreground.concatenate([light, light])) == 2 * len(none)


def test_a_foreground_is_lens_light_to_the_renderer():
    drawn = [draw_lens_light(LENS_LIGHT, np.random.default_rng(1), VIS, **MASS)]
    light = Foreground.stack(drawn)
    x, y = VIS.grid()
    lens = lp.ThinLens([lp.SIE(theta_E=torch.tensor([1.1]), e1=0.1, e2=-0.05)])
    dark = lp.Gaussian(amp=0.0, sigma=0.1)
    image = lp.render(lens, dark, x, y, psf=VIS.psf(), lens_light=light)
    expected = VIS.psf().convolve(light.mean_brightness(x, y, VIS.pixel_scale) * VIS.pixel_scale**2)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize("supersampling", [1, 3])
def test_the_light_of_an_image_is_that_of_its_label_in_both_backends(supersampling):
    """A steep galaxy anywhere in a pixel: one ray there had 0.6 to 4.6 times the light."""
    rng = np.random.default_rng(3)
    drawn = [draw_lens_light(LENS_LIGHT, rng, VIS, **MASS) for _ in range(6)]
    light = Foreground.stack(drawn)
    lens = Scene(
        torch.arange(6), torch.zeros(6).long(), {}, "SIE", lensed=torch.arange(0), foreground=light
    )
    wide = dataclasses.replace(VIS, n_pix=801)
    found = TorchRenderer(wide, supersampling=supersampling).render(lens)
    theirs = LenstronomyRenderer(wide, supersampling=supersampling).render(lens)
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5 * theirs.max())
    flux = light.labels["lens_light_flux"].numpy()
    # A few per cent of the light of the steepest galaxies is beyond 40 arcsec.
    assert found.sum((1, 2)) == pytest.approx(flux, rel=0.04)


def test_pixels_hold_the_mean_of_what_shines_in_them():
    width, many = 0.1, 15
    light = Foreground.stack(batch(30))
    x, y = lp.pixel_grid(21, width, dtype=torch.float64)
    fine = lp.pixel_grid(21 * many, width / many, dtype=torch.float64)
    rays = light.surface_brightness(*fine).unflatten(2, (-1, many)).unflatten(1, (-1, many))
    expected, found = rays.mean((2, 4)), light.mean_brightness(x, y, width)
    off = ((found - expected).abs() / expected.amax((1, 2), keepdim=True)).amax((1, 2))
    # Rays of a fifteenth of a pixel miss some per cent of the peak of a steep galaxy.
    assert off.max() < 0.05
    assert off.median() < 0.01
