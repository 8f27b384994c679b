"""Changed images are those of the scene with the changed labels, rendered anew."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import lensphys as lp
from lensphys.mass.multipole import CartesianMultipole
from simulate.augment import transforms as change
from simulate.augment.augmentations import (
    Broaden,
    Compose,
    Shift,
    Symmetry,
)
from simulate.augment.lens_batch import LensBatch, Optics
from simulate.augment.transforms import turn, turn_images
from simulate.backends.blur import kernels
from simulate.dataset.padding import COLUMNS as PADDING
from simulate.dataset.padding import find_shown, read_padding
from simulate.instruments import instrument
from tests.simulate.augment.batches import (
    FACTOR,
    FWHM,
    N_PIX,
    SCALE,
    assert_same,
    draw_scenes,
    off,
    optics,
    pictures,
    random,
    render,
    scenes,
    symmetries,
)


class TestAgainstTheSimulator:
    @pytest.mark.parametrize("symmetry", range(8))
    def test_a_turned_image_is_that_of_the_turned_scene(self, symmetry: int) -> None:
        batch = scenes(4, seed=symmetry)
        new = change.turn(batch, torch.full((4,), symmetry))
        assert off(new.image, render(new.params)) < 1e-13
        low = render(new.params, n_pix=N_PIX // FACTOR, scale=FACTOR * SCALE)
        assert off(new.image_lr, low) < 1e-13

    @pytest.mark.parametrize("first", [0, 6])
    @pytest.mark.parametrize("symmetry", range(8))
    def test_a_stamp_turns_and_is_mirrored(self, symmetry: int, first: int) -> None:
        """A galaxy of pixels has no ellipticity to turn; a flip makes another galaxy of it."""
        stamps = torch.rand(3, 7, 7, generator=random(4), dtype=torch.float64)
        x, y = lp.pixel_grid(24, SCALE, dtype=torch.float64)

        def shown(params: dict[str, Tensor]) -> Tensor:
            mirrored = params["source_mirrored"].bool()[:, None, None]
            galaxy = lp.PixelatedSource(
                image=torch.where(mirrored, stamps.flip(-2), stamps),
                pixel_scale=2 * SCALE,
                center_x=params["source_center_x"],
                center_y=params["source_center_y"],
                phi_G=params["source_angle"],
            )
            return galaxy.surface_brightness(x, y)[:, None]

        columns = ("source_center_x", "source_center_y", "source_angle")
        params = {n: torch.rand(3, generator=random(6), dtype=torch.float64) for n in columns}
        params["source_mirrored"] = torch.zeros(3, dtype=torch.float64)
        batch = LensBatch(shown(params), params, optics(3), None, None)
        for number in (first, symmetry):
            batch = change.turn(batch, torch.full((3,), number))
        torch.testing.assert_close(batch.image, shown(batch.params), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("alpha_scale", [1.0, 0.7])
    def test_a_shifted_image_is_that_of_the_shifted_scene(self, alpha_scale: float) -> None:
        batch = scenes(12, alpha_scale=alpha_scale)
        new = Shift(0.2).apply(batch, random(1))
        expected = render(new.params, alpha_scale=alpha_scale)
        assert off(new.image, expected, border=6) < 1e-12
        assert off(new.image, expected) < 5e-3  # what comes in at the edge is made up
        assert off(batch.image, expected, border=6) > 0.2
        sizes = {"n_pix": N_PIX // FACTOR, "scale": FACTOR * SCALE}
        low = render(new.params, alpha_scale=alpha_scale, **sizes)
        assert off(new.image_lr, low, border=3) < 1e-12

    def test_the_source_does_not_move_as_the_lens_does(self) -> None:
        """The shear stays about the centre of the image; the other rule is seen to be wrong."""
        batch = scenes(12)
        new = Shift(0.2).apply(batch, random(1))
        moved = new.params["center_x"] - batch.params["center_x"]
        naive = new.params | {"source_center_x": batch.params["source_center_x"] + moved}
        assert off(new.image, render(naive), border=6) > 0.02

    def test_a_sharp_source_is_shifted_without_a_trace(self) -> None:
        """Behind a PSF of one pixel, at a peak S/N of 200: interpolation had a chi^2 of 1.36."""
        params = draw_scenes(8, 4)
        batch = LensBatch(render(params, fwhm=SCALE), params, optics(8, fwhm=SCALE), None, None)
        new = Shift(0.3).apply(batch, random(2))
        expected = render(new.params, fwhm=SCALE)
        sigma = expected.amax((1, 2, 3), keepdim=True) / 200
        inside = (..., slice(6, -6), slice(6, -6))
        assert (((new.image - expected) / sigma)[inside] ** 2).sum() < 1e-15
        assert not torch.equal(new.image, batch.image)

    def test_a_shift_takes_whole_pixels_of_both_resolutions(self) -> None:
        batch, wanted = scenes(3), torch.tensor([0.07, 0.09, -0.25])
        new = change.shift(batch, wanted, torch.zeros(3))
        moved = new.params["center_x"] - batch.params["center_x"]
        torch.testing.assert_close(moved, torch.tensor([0.0, 0.16, -0.32]).double())
        assert torch.equal(new.image[1, ..., 2:], batch.image[1, ..., :-2])
        assert torch.equal(new.image[2, ..., :-4], batch.image[2, ..., 4:])
        assert torch.equal(new.image_lr[2, ..., :-2], batch.image_lr[2, ..., 2:])
        assert torch.equal(new.image[1, ..., :2], batch.image[1, ..., :2].flip(-1))  # mirrored
        alone = dataclasses.replace(batch, image_lr=None, optics_lr=None)
        moved = change.shift(alone, wanted, torch.zeros(3)).params["center_x"]
        moved = moved - batch.params["center_x"]
        torch.testing.assert_close(moved, torch.tensor([0.08, 0.08, -0.24]).double())

    @pytest.mark.parametrize("wider", [1.02, 1.1, 1.5, 2.0])
    def test_a_broadened_image_is_that_through_a_wider_psf(self, wider: float) -> None:
        batch = scenes(8)
        new = Broaden(wider * FWHM).apply(batch, random(0))
        expected = render(batch.params, fwhm=wider * FWHM)
        assert off(new.image, expected, border=6) < 1e-5
        assert off(new.image, expected) < 2e-3
        torch.testing.assert_close(new.optics.psf_fwhm, torch.full((8,), wider * FWHM).double())
        sizes = {"n_pix": N_PIX // FACTOR, "scale": FACTOR * SCALE}
        low = render(batch.params, fwhm=wider * FWHM, **sizes)
        assert off(new.image_lr, low, border=3) < 2e-3  # its PSF is barely wider than a pixel

    def test_the_labels_of_the_psf_are_those_of_the_blurred_one(self) -> None:
        """Three kernels of a preset, blurred, against kernels of the new labels."""
        camera = dataclasses.replace(instrument("euclid_vis"), psf_fwhm=0.3)
        psf = {"psf_width": [0.9, 1.0, 1.1], "psf_e1": [0.1, 0.0, -0.2], "psf_e2": [0.05, 0.0, 0.1]}
        params = {name: torch.tensor(values).double() for name, values in psf.items()}
        before = kernels(camera, *params.values(), widest=4.0)[:, None]
        batch = LensBatch(before, params, Optics(0.1, torch.full((3,), 0.3), torch.zeros(3)))
        new = Broaden(0.45).apply(batch, random(0))
        labels = [new.params[name] for name in psf]
        wider = dataclasses.replace(camera, psf_fwhm=0.45)
        expected = kernels(wider, *labels, widest=4.0 / 1.5)[:, None]
        assert off(new.image, expected) < 1e-5
        assert float(labels[0][1]) == pytest.approx(1)
        same = Broaden(0.3).apply(batch, random(0)).params
        for name, values in params.items():
            torch.testing.assert_close(same[name], values)

    def test_the_pixels_of_a_narrow_gaussian_would_not_do(self) -> None:
        """The reason why the blur is not :class:`lensphys.GaussianPSF`."""
        batch, wider = scenes(8), 1.05
        sampled = lp.GaussianPSF(FWHM * math.sqrt(wider**2 - 1), SCALE).convolve(batch.image)
        expected = render(batch.params, fwhm=wider * FWHM)
        assert off(sampled, expected, border=6) > 0.01
        assert off(batch.image, expected, border=6) < 0.03  # it hardly blurs at all

    def test_a_wide_blur_is_that_of_the_psf_itself(self) -> None:
        image = scenes(4).image
        found = change.blur_images(image, torch.full((4,), 2.0))
        expected = lp.GaussianPSF(2.0 * 2.3548200450309493, 1.0, truncation=8.0).convolve(image)
        assert off(found, expected, border=16) < 1e-9

    def test_a_chain_is_that_of_the_scene_with_its_labels(self) -> None:
        batch = scenes(8)
        chain = Compose((Symmetry(), Broaden(1.5 * FWHM), Shift(0.1), Symmetry()))
        new = chain.apply(batch, random(4))
        assert off(new.image, render(new.params, fwhm=1.5 * FWHM), border=6) < 1e-3


class TestTheGroup:
    @settings(max_examples=25, deadline=None)
    @given(symmetry=st.sampled_from([1, 3]))
    def test_four_quarter_turns_change_nothing(self, symmetry: int) -> None:
        batch = new = pictures()
        for _ in range(4):
            assert not torch.equal(new.image, change.turn(new, torch.full((3,), symmetry)).image)
            new = change.turn(new, torch.full((3,), symmetry))
        assert_same(new, batch)

    @pytest.mark.parametrize("flip", [4, 5, 6, 7])
    def test_two_flips_change_nothing(self, flip: int) -> None:
        batch, number = pictures(), torch.full((3,), flip)
        assert_same(change.turn(change.turn(batch, number), number), batch)

    @settings(max_examples=25, deadline=None)
    @given(first=symmetries, second=symmetries)
    def test_two_symmetries_after_each_other_are_a_third(self, first: int, second: int) -> None:
        batch = pictures()
        both = change.turn(change.turn(batch, torch.full((3,), first)), torch.full((3,), second))
        singles = [change.turn(batch, torch.full((3,), k)) for k in range(8)]
        (third,) = [new for new in singles if torch.equal(new.image, both.image)]
        assert_same(both, third)

    @settings(max_examples=25, deadline=None)
    @given(numbers=st.lists(symmetries, min_size=3, max_size=3))
    def test_each_image_turns_by_its_own_symmetry(self, numbers: list[int]) -> None:
        batch = pictures()
        together = change.turn(batch, torch.tensor(numbers))
        for i, number in enumerate(numbers):
            alone = change.turn(batch, torch.full((3,), number))
            assert torch.equal(together.image[i], alone.image[i])
            assert torch.equal(together.image_lr[i], alone.image_lr[i])
            for name, values in alone.params.items():
                assert torch.equal(together.params[name][i], values[i])

    @pytest.mark.parametrize("symmetry", range(8))
    def test_the_numbers_are_those_of_rot90(self, symmetry: int) -> None:
        image = torch.rand(1, 2, 5, 5, generator=random(0))
        expected = torch.rot90(image, symmetry % 4, (-2, -1))
        expected = expected.flip(-1) if symmetry >= 4 else expected
        assert torch.equal(turn_images(image, torch.tensor([symmetry])), expected)

    def test_a_quarter_turn_negates_ellipticity_and_shear(self) -> None:
        batch = pictures()
        new = change.turn(batch, torch.ones(3, dtype=torch.int64)).params
        for name in ("e1", "e2", "gamma1", "gamma2", "source_e1", "lens_light_e2"):
            assert torch.equal(new[name], -batch.params[name])

    def test_all_symmetries_occur_equally_often(self) -> None:
        image = torch.arange(9.0, dtype=torch.float64).reshape(1, 1, 3, 3).expand(4000, -1, -1, -1)
        new = Symmetry().apply(LensBatch(image, {}, optics(4000)), random(0))
        _, counts = new.image.flatten(1).unique(dim=0, return_counts=True)
        assert len(counts) == 8
        assert counts.min() > 430  # 500 +- 21


@pytest.mark.parametrize("m", [3, 4])
@pytest.mark.parametrize("symmetry", range(8))
def test_multipoles_turn_with_the_image(symmetry, m):
    """The potential of the turned label is the turned potential."""
    x, y = lp.pixel_grid(12, 0.2, dtype=torch.float64)
    names = (f"a{m}_cos", f"a{m}_sin")
    params = {
        name: torch.tensor([value], dtype=torch.float64)
        for name, value in zip(names, (0.02, -0.05), strict=True)
    }

    def potential(params):
        a_cos, a_sin = (params[name] for name in names)
        return CartesianMultipole(m=m, a_cos=a_cos, a_sin=a_sin).potential(x, y)[:, None]

    unknown = torch.full((1,), math.nan, dtype=torch.float64)
    batch = LensBatch(potential(params), params, Optics(0.2, unknown, unknown))
    turned = turn(batch, torch.tensor([symmetry]))
    assert torch.allclose(potential(turned.params), turned.image, atol=1e-12)


def test_arms_wind_the_other_way_in_a_mirror():
    pitch = torch.full((8,), 0.3, dtype=torch.float64)
    unknown = torch.full((8,), math.nan, dtype=torch.float64)
    batch = LensBatch(
        torch.zeros(8, 1, 4, 4), {"source_pitch": pitch}, Optics(0.2, unknown, unknown)
    )
    turned = turn(batch, torch.arange(8)).params["source_pitch"]
    assert turned[:4].tolist() == [0.3] * 4
    assert turned[4:].tolist() == [math.pi - 0.3] * 4


def padded_batch(*edges: int) -> tuple[LensBatch, Tensor]:
    """One image that is 1 where it shows the sky and 0 in its padding."""
    padding = np.array([edges])
    shown = torch.from_numpy(find_shown(padding, (16, 16))[:, None]).double()
    params = {name: torch.tensor([float(v)]) for name, v in zip(PADDING, edges, strict=True)}
    return LensBatch(shown, params, optics(1)), shown


def shown_by(batch: LensBatch) -> Tensor:
    padding = read_padding({name: batch.params[name].numpy() for name in PADDING})
    assert padding is not None
    return torch.from_numpy(find_shown(padding, (16, 16))[:, None]).double()


@pytest.mark.parametrize("symmetry", range(8))
def test_padding_turns_with_the_image(symmetry: int) -> None:
    batch, _ = padded_batch(1, 2, 3, 5)
    turned = turn(batch, torch.tensor([symmetry]))
    assert torch.equal(turned.image, shown_by(turned))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, -1), (-3, 4)])
def test_padding_moves_with_the_image(dx: int, dy: int) -> None:
    batch, _ = padded_batch(5, 4, 5, 4)
    by = (torch.tensor([v * batch.optics.pixel_scale], dtype=torch.float64) for v in (dx, dy))
    moved = change.shift(batch, *by)
    assert torch.equal(moved.image, shown_by(moved))
    assert moved.params["padding_left"].item() == 5 + dx
    assert moved.params["padding_bottom"].item() == 5 + dy
