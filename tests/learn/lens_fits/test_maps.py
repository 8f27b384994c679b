"""S/N maps of one more mass in every place."""

import dataclasses
import math

import pytest
import torch

import lensphys as lp
from learn.lens_fits.maps import (
    CORES,
    change_snr,
    count_pixels_of_block,
    measure_response,
    search_masses,
)
from lensphys.detection.maps import STATISTICS, summarise
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels
from simulate.augment.transforms import turn_images
from tests.learn.lens_fits.mocks import PEAK, fitted, searched
from tests.lensphys.fitting.mocks import KIND, PIXEL, PSF, draw, image_of, noise_like

#: Images of blocks of one pixel, of two that fit, and of two that do not.
SHAPES = [(24, 28), (44, 36), (43, 41)]


def deflections(shape: tuple[int, int], core: float) -> torch.Tensor:
    """Deflection (N, 2, H, W) by a mass of one square block in each of N blocks, in blocks."""
    block = count_pixels_of_block(shape)
    ny, nx = (-(-n // block) for n in shape)
    at = torch.stack(torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")).flatten(1)
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    y, x = y // block - at[0][:, None, None], x // block - at[1][:, None, None]
    return torch.stack([x, y], 1).double() / (x**2 + y**2 + core**2)[:, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_are_those_of_least_squares_written_out(shape: tuple[int, int]) -> None:
    """Squares below a ten-thousandth of the largest are taken for that: nothing is seen there."""
    near, response = searched(fitted(shape))
    maps, block = search_masses(near, response), count_pixels_of_block(shape)
    for number, core in enumerate(CORES):
        change = (response[:, None] * deflections(shape, core)).sum(2)
        free = (near.leave(change) * change).sum((2, 3))
        fixed = change.square().sum((2, 3))
        assert (free > 0.01 * fixed.amax(1, keepdim=True)).any(1).all()
        error = (free + 1e-4 * fixed.amax(1, keepdim=True)).rsqrt()
        snr = (change * near.due[:, None]).sum((2, 3)) * error
        found = maps.snr[:, number, ::block, ::block].flatten(1).double()
        torch.testing.assert_close(found, snr, rtol=2e-3, atol=2e-3)
        found = maps.log_error[:, number, ::block, ::block].flatten(1).double()
        torch.testing.assert_close(found, torch.log10(block * error), rtol=0, atol=2e-3)
        # The largest S/N that counts comes first among the statistics of a core.
        largest = maps.statistics[:, len(STATISTICS) * number]
        assert (largest <= maps.snr[:, number].abs().amax((1, 2))).all()
    assert maps.statistics.shape == (2, len(CORES) * len(STATISTICS))


def test_pixels_of_a_block_share_its_mass() -> None:
    maps = search_masses(*searched(fitted((43, 41))))
    for found in (maps.snr, maps.log_error):
        assert found.shape == (2, 2, 43, 41)
        assert torch.equal(found[..., :42:2, :40:2], found[..., 1:42:2, 1:40:2])


def test_statistics_are_those_of_the_places_that_see() -> None:
    near, response = searched(fitted())
    maps = search_masses(near, response)
    for number, core in enumerate(CORES):
        fixed = (response[:, None] * deflections((32, 32), core)).sum(2).square().sum((2, 3))
        seen = fixed > 1e-3 * fixed.amax(1, keepdim=True)
        expected = summarise(maps.snr[:, number], seen)
        start = number * len(STATISTICS)
        found = maps.statistics[:, start : start + expected.shape[1]]
        torch.testing.assert_close(found, expected, rtol=0.01, atol=0.02)


def test_the_map_of_a_compact_mass_is_near_that_of_the_library() -> None:
    """There the deflected light is blurred, and here the blurred light is deflected."""
    result = fitted(count=4)
    maps, exact = search_masses(*searched(result)), lp.detect(result)
    error = 10 ** maps.log_error[:, 0] * PIXEL
    seen = exact.error < 3 * exact.error.nan_to_num(torch.inf).amin((1, 2), keepdim=True)
    assert seen.float().mean() > 0.05
    difference = maps.snr[:, 0][seen] - exact.snr[seen]
    assert difference.square().mean().sqrt() < 0.25 * exact.snr[seen].square().mean().sqrt()
    # A core of half a pixel makes masses a tenth harder to see.
    ratio = (error / exact.error)[seen]
    assert ratio.median() == pytest.approx(1.1, abs=0.05)
    assert ratio.log().std() < 0.1


@pytest.mark.parametrize(("shape", "least"), [((32, 32), 0.85), ((44, 44), 0.7)])
def test_a_mass_shows_in_its_place_at_its_snr(shape: tuple[int, int], least: float) -> None:
    """Masses are put in by exact rendering, and all else is fitted again.

    Blocks of two pixels, a quarter of the Einstein radius here, see a part of it.
    """
    count, wanted, block = 12, 15.0, count_pixels_of_block(shape)
    truth = draw(count, seed=11)
    clean = image_of(truth, shape)
    sigma = clean.amax((1, 2), keepdim=True) / (4 * PEAK)
    kind = {"start": truth, **KIND}
    smooth = search_masses(*searched(lp.fit(clean, sigma.expand_as(clean), **kind)))
    # A place among those that see the least masses; the mass lies in the middle of its block.
    error = smooth.log_error[:, 0, ::block, ::block].flatten(1)
    place = error.argsort(1)[torch.arange(count), 2 * torch.arange(count) % 20]
    mass = wanted * PIXEL * 10 ** error.gather(1, place[:, None])[:, 0].double()
    row, column = place // (shape[1] // block), place % (shape[1] // block)
    x, y = lp.pixel_grid(shape, PIXEL, dtype=torch.float64)
    at_x, at_y = (
        ((n + 0.5) * block - 0.5 * side) * PIXEL
        for n, side in ((column.double(), shape[1]), (row.double(), shape[0]))
    )
    core = CORES[0] * block * PIXEL
    scene = LensScene()
    alpha = scene.lens(truth).deflection(x, y)
    dx, dy = x - at_x[:, None, None], y - at_y[:, None, None]
    pull = mass[:, None, None] / (dx**2 + dy**2 + core**2)
    beta = x - alpha[0] - pull * dx, y - alpha[1] - pull * dy
    light = scene.source(truth).surface_brightness(*beta)
    images = Pixels(x, y, psf=PSF).collect(light) + sigma * noise_like(clean, 8)
    maps = search_masses(*searched(lp.fit(images, sigma.expand_as(clean), **kind)))
    snr = maps.snr[:, 0, ::block, ::block].flatten(1)
    there = snr.gather(1, place[:, None])[:, 0]
    assert least * wanted < there.mean() < 1.1 * wanted
    peak = snr.argmax(1)
    away = [peak // (shape[1] // block) - row, peak % (shape[1] // block) - column]
    assert (torch.stack(away).abs().amax(0) <= 1).float().mean() > 0.8
    # As an extended mass it is seen too, less well.
    extended = maps.snr[:, 1].flatten(1).amax(1).mean()
    assert 0.3 * wanted < extended < there.mean()


def test_noise_alone_has_a_standard_deviation_of_one() -> None:
    maps = search_masses(*searched(fitted((24, 24), count=96)))
    for snr, error in zip(maps.snr.unbind(1), maps.log_error.unbind(1), strict=True):
        seen = error < error.amin((1, 2), keepdim=True) + 1.0
        assert seen.float().mean() > 0.3
        assert snr[seen].square().mean().sqrt() == pytest.approx(1.0, abs=0.06)
        assert snr[seen].mean() == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_change_of_a_map_is_the_map_of_the_change(shape: tuple[int, int]) -> None:
    near, response = searched(fitted(shape))
    before = search_masses(near, response)
    change = near.leave(5 * noise_like(near.residual[:, None], 3))
    changed = dataclasses.replace(near, residual=near.residual + change[:, 0])
    expected = search_masses(changed, response).snr - before.snr
    found = change_snr(change.float(), response, before.log_error)
    assert expected.abs().max() > 10
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    # As channels are stored.
    half = change_snr(change.half(), response.half(), before.log_error.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), expected, rtol=0.01, atol=0.1)


def test_the_response_is_the_change_with_a_small_deflection() -> None:
    """A source that moves the other way changes the image alike."""
    result, step = fitted(), 1e-4
    near, response = searched(result)
    params = {name: value.detach() for name, value in result.params.items()}
    for axis, name in enumerate(("source_center_x", "source_center_y")):
        there, here = (image_of(params | {name: params[name] + d}) for d in (step, -step))
        expected = (there - here) / (2 * step) * near.weight
        torch.testing.assert_close(response[:, axis], expected, rtol=1e-3, atol=0.02)
    x, y = lp.pixel_grid(32, PIXEL, dtype=torch.float32)
    single = measure_response(near, Pixels(x, y, psf=PSF))
    assert single.dtype == torch.float32, "as the pixels"
    torch.testing.assert_close(single.double(), response, rtol=1e-4, atol=1e-2)


def test_maps_turn_with_the_image() -> None:
    near, response = searched(fitted())
    symmetry = torch.tensor([1, 1])
    right, top = turn_images(response, symmetry).unbind(1)
    turned = dataclasses.replace(
        near,
        residual=turn_images(near.residual[:, None], symmetry)[:, 0],
        rows=turn_images(near.rows, symmetry),
    )
    # A quarter turn takes the x axis to the y axis, backwards.
    after = search_masses(turned, torch.stack([top, -right], 1))
    before = search_masses(near, response)
    for name in ("snr", "log_error"):
        expected = turn_images(getattr(before, name), symmetry)
        torch.testing.assert_close(getattr(after, name), expected, rtol=0.01, atol=2e-3)


def test_an_image_that_answers_to_nothing_shows_nothing() -> None:
    near, response = searched(fitted())
    maps = search_masses(near, torch.zeros_like(response))
    assert not maps.snr.any()
    assert maps.log_error.isfinite().all()
    assert maps.statistics.isfinite().all()


@pytest.mark.parametrize(("side", "block"), [(16, 1), (40, 1), (41, 2), (64, 2), (150, 4)])
def test_maps_have_forty_places_a_side_at_most(side: int, block: int) -> None:
    assert count_pixels_of_block((side, side // 2)) == block
    assert math.ceil(side / block) <= 40
