"""Augmented images are those of the scene with the augmented labels, rendered anew."""

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
from lensphys.ground.errors import InputError
from simulate.augment import transforms as change
from simulate.augment.augmentations import (
    Augmentation,
    Broaden,
    Compose,
    ExtraNoise,
    Offset,
    Shift,
    Symmetry,
)
from simulate.augment.lens_batch import LensBatch, Optics
from simulate.augment.transforms import turned
from simulate.shards import read

SCALE, N_PIX, FWHM, SUPERSAMPLING, FACTOR = 0.08, 64, 0.2, 4, 2
#: The model lies in a wider field than the images, so that light comes in at their edges.
MARGIN = 16
symmetries = st.integers(0, 7)
ALL = [
    Symmetry(),
    Shift(0.1),
    ExtraNoise(sigma=0.1),
    ExtraNoise(snr_factor=(1.5, 2.0)),
    Broaden((0.21, 0.3)),
    Offset((-0.1, 0.1)),
]
NAMES = [type(each).__name__ for each in ALL]


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_scenes(count: int, seed: int) -> dict[str, Tensor]:
    generator = random(seed)
    widths = dict.fromkeys(("e1", "e2", "source_e1", "source_e2"), 0.2)
    widths |= dict.fromkeys(("center_x", "center_y", "source_center_x", "source_center_y"), 0.2)
    widths |= dict.fromkeys(("gamma1", "gamma2"), 0.08)
    params = {
        name: width * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
        for name, width in widths.items()
    }
    theta_E = 0.8 + 0.4 * torch.rand(count, generator=generator, dtype=torch.float64)
    return params | {"theta_E": theta_E}


def render(
    params: dict[str, Tensor],
    fwhm: float = FWHM,
    n_pix: int = N_PIX,
    scale: float = SCALE,
    alpha_scale: float = 1.0,
) -> Tensor:
    margin = round(MARGIN * SCALE / scale)
    x, y = lp.pixel_grid(n_pix + 2 * margin, scale, dtype=torch.float64)
    sie = {name: params[name] for name in ("theta_E", "e1", "e2", "center_x", "center_y")}
    shear = {name: params[name] for name in ("gamma1", "gamma2")}
    placed = {name: params[f"source_{name}"] for name in ("e1", "e2", "center_x", "center_y")}
    image = lp.render(
        lp.ThinLens([lp.SIE(**sie), lp.Shear(**shear)], alpha_scale=alpha_scale),
        lp.Sersic(amplitude=10.0, R_sersic=0.25, n_sersic=1.0, **placed),
        x,
        y,
        psf=lp.GaussianPSF(fwhm, scale / SUPERSAMPLING, truncation=8.0),
        supersampling=SUPERSAMPLING,
    )
    return image[:, None, margin:-margin, margin:-margin]


def optics(count: int, scale: float = SCALE, fwhm: float = FWHM, sigma: float = 0.0) -> Optics:
    columns = (torch.full((count,), value, dtype=torch.float64) for value in (fwhm, sigma))
    return Optics(scale, *columns)


def scenes(count: int, seed: int = 0, alpha_scale: float = 1.0) -> LensBatch:
    """Rendered scenes, with their images at half the resolution."""
    params = draw_scenes(count, seed)
    return LensBatch(
        render(params, alpha_scale=alpha_scale),
        params,
        optics(count),
        render(params, n_pix=N_PIX // FACTOR, scale=FACTOR * SCALE, alpha_scale=alpha_scale),
        optics(count, FACTOR * SCALE),
        alpha_scale,
    )


def pictures(count: int = 3, sigma: float = 0.05) -> LensBatch:
    """Small images without meaning, with every kind of column."""
    generator = random(2)
    names = (
        *("theta_E", "e1", "e2", "center_x", "center_y", "gamma1", "gamma2", "source_e1"),
        *("source_e2", "source_center_x", "source_center_y", "vortex_angle", "vortex_center_x"),
        *("vortex_center_y", "lens_light_e1", "lens_light_e2", "perturbation_snr", "peak_snr"),
    )
    params = {name: torch.rand(count, generator=generator, dtype=torch.float64) for name in names}
    high = torch.rand(count, 1, 12, 12, generator=generator, dtype=torch.float64)
    return LensBatch(
        high,
        params,
        optics(count, sigma=sigma),
        torch.nn.functional.avg_pool2d(high, FACTOR) * FACTOR**2,
        optics(count, FACTOR * SCALE, sigma=FACTOR * sigma),
    )


def assert_same(found: LensBatch, expected: LensBatch, tolerance: float = 1e-14) -> None:
    assert torch.equal(found.image, expected.image)
    assert torch.equal(found.image_lr, expected.image_lr)
    assert found.params.keys() == expected.params.keys()
    for name, values in expected.params.items():
        difference = found.params[name] - values
        if name.endswith("angle"):
            difference = torch.sin(0.5 * difference)  # angles are the same modulo a full turn
        torch.testing.assert_close(
            difference.nan_to_num(7.0),
            torch.zeros_like(values).masked_fill(values.isnan(), 7.0),
            rtol=0,
            atol=tolerance,
        )


def off(found: Tensor, expected: Tensor, border: int = 0) -> float:
    """The largest difference in units of the peak, apart from a border of so many pixels."""
    peak = expected.amax((1, 2, 3), keepdim=True)
    inside = slice(border, -border or None)
    return float(((found - expected) / peak)[..., inside, inside].abs().max())


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
        assert off(new.image, expected, border=6) < 1e-3
        assert off(new.image, expected) < 5e-3  # what comes in at the edge is made up
        assert off(batch.image, expected, border=6) > 0.2

    def test_the_source_does_not_move_as_the_lens_does(self) -> None:
        """The shear stays about the centre of the image; the other rule is seen to be wrong."""
        batch = scenes(12)
        new = Shift(0.2).apply(batch, random(1))
        moved = new.params["center_x"] - batch.params["center_x"]
        naive = new.params | {"source_center_x": batch.params["source_center_x"] + moved}
        assert off(new.image, render(naive), border=6) > 0.02

    def test_a_shift_beats_bicubic_interpolation(self) -> None:
        batch, shift = scenes(12), torch.full((12,), 0.5)
        new = change.shift(batch, SCALE * shift, SCALE * shift)
        at = (2 * torch.arange(N_PIX, dtype=torch.float64)) / N_PIX - 1  # half a pixel to the left
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).expand(12, -1, -1, -1)
        bicubic = torch.nn.functional.grid_sample(
            batch.image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        expected = render(new.params)
        assert 10 * off(new.image, expected, border=6) < off(bicubic, expected, border=6)

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

    def test_the_pixels_of_a_narrow_gaussian_would_not_do(self) -> None:
        """Why the blur is not :class:`lensphys.GaussianPSF`."""
        batch, wider = scenes(8), 1.05
        sampled = lp.GaussianPSF(FWHM * math.sqrt(wider**2 - 1), SCALE).convolve(batch.image)
        expected = render(batch.params, fwhm=wider * FWHM)
        assert off(sampled, expected, border=6) > 0.01
        assert off(batch.image, expected, border=6) < 0.03  # it hardly blurs at all

    def test_a_wide_blur_is_that_of_the_psf_itself(self) -> None:
        image = scenes(4).image
        found = change.blurred(image, torch.full((4,), 2.0))
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
        assert torch.equal(turned(image, torch.tensor([symmetry])), expected)

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


class TestWhatIsKept:
    @pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
    def test_each_keeps_what_it_says(self, augmentation: Augmentation) -> None:
        batch = pictures(64)
        before = {name: values.clone() for name, values in batch.params.items()}
        image = batch.image.clone()
        new = augmentation.apply(batch, random(3))
        assert not torch.equal(new.image, image)
        assert torch.equal(batch.image, image)  # the batch given is left as it was
        changed = {name for name in before if not torch.equal(new.params[name], before[name])}
        snr = {"perturbation_snr", "peak_snr"}
        assert ("theta_E" not in changed) == augmentation.keeps_theta_E
        assert (not changed - snr) == augmentation.keeps_labels
        assert (not changed & snr) == augmentation.keeps_snr
        if not augmentation.keeps_snr:
            assert all(new.params[name].isnan().all() for name in snr)
        for name, values in before.items():
            assert torch.equal(batch.params[name], values)

    def test_a_chain_keeps_what_all_of_it_keep(self) -> None:
        kept = Compose((Offset(0.1), ExtraNoise(sigma=0.1)))
        assert (kept.keeps_theta_E, kept.keeps_labels, kept.keeps_snr) == (True, True, False)
        assert not Compose((Offset(0.1), Symmetry())).keeps_labels

    @pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
    def test_the_same_generator_gives_the_same_images(self, augmentation: Augmentation) -> None:
        first, again, other = (augmentation.apply(pictures(), random(s)) for s in (5, 5, 6))
        assert torch.equal(first.image, again.image)
        assert not torch.equal(first.image, other.image)

    @pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
    def test_what_does_not_apply_stays_nan(self, augmentation: Augmentation) -> None:
        batch = pictures()
        missing = torch.full((3,), math.nan, dtype=torch.float64)
        names = ("vortex_angle", "vortex_center_x", "vortex_center_y", "gamma1", "gamma2")
        params = batch.params | dict.fromkeys(names, missing)
        new = augmentation.apply(dataclasses.replace(batch, params=params), random(3)).params
        assert all(new[name].isnan().all() for name in names)
        assert not new["source_center_x"].isnan().any()

    @pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
    def test_images_stay_in_single_precision(self, augmentation: Augmentation) -> None:
        batch = pictures()
        single = dataclasses.replace(
            batch, image=batch.image.float(), image_lr=batch.image_lr.float()
        )
        new = augmentation.apply(single, random(3))
        double = augmentation.apply(batch, random(3))
        assert new.image.dtype == new.image_lr.dtype == torch.float32
        if not isinstance(augmentation, ExtraNoise):  # other precision, other random numbers
            torch.testing.assert_close(new.image, double.image.float(), rtol=0, atol=1e-6)

    def test_low_resolution_stays_in_step_with_an_offset(self) -> None:
        new = Offset((-1.0, 1.0)).apply(pictures(), random(3))
        pooled = torch.nn.functional.avg_pool2d(new.image, FACTOR) * FACTOR**2
        torch.testing.assert_close(new.image_lr, pooled)


class TestNoise:
    def batch(self, sigma: float, count: int = 40) -> LensBatch:
        dark = torch.zeros(count, 1, 64, 64, dtype=torch.float64)
        low = torch.zeros(count, 1, 32, 32, dtype=torch.float64)
        coarse = optics(count, FACTOR * SCALE, sigma=FACTOR * sigma)
        noisy = LensBatch(dark, {}, optics(count), low, optics(count, FACTOR * SCALE))
        noisy = change.add_noise(
            noisy, random(0), optics(count, sigma=sigma).background_sigma, coarse.background_sigma
        )
        return dataclasses.replace(noisy, optics=optics(count, sigma=sigma), optics_lr=coarse)

    def test_it_has_the_stated_level_and_no_correlation(self) -> None:
        new = ExtraNoise(sigma=0.3).apply(self.batch(0.0), random(1))
        assert new.image.std().item() == pytest.approx(0.3, rel=0.01)
        assert new.image_lr.std().item() == pytest.approx(0.6, rel=0.01)
        neighbours = (new.image[..., 1:] * new.image[..., :-1]).mean() / 0.3**2
        assert abs(neighbours.item()) < 0.01
        torch.testing.assert_close(new.optics.background_sigma, torch.full((40,), 0.3).double())

    def test_each_image_draws_its_own_level(self) -> None:
        new = ExtraNoise(sigma=(0.1, 0.9)).apply(self.batch(0.0, 200), random(1))
        levels = new.image.flatten(1).std(1)
        torch.testing.assert_close(levels, new.optics.background_sigma, rtol=0.06, atol=0)
        assert levels.min() < 0.15
        assert levels.max() > 0.85

    def test_the_background_limited_snr_falls_by_the_stated_factor(self) -> None:
        before = self.batch(0.2)
        new = ExtraNoise(snr_factor=2.0).apply(before, random(1))
        assert (new.image.std() / before.image.std()).item() == pytest.approx(2, rel=0.01)
        assert (new.image_lr.std() / before.image_lr.std()).item() == pytest.approx(2, rel=0.015)
        torch.testing.assert_close(new.optics.background_sigma, torch.full((40,), 0.4).double())

    def test_a_shift_keeps_the_level_of_the_noise(self) -> None:
        batch, half = self.batch(1.0), torch.full((40,), 0.5 * SCALE)
        new = change.shift(batch, half, half)
        inside = (..., slice(6, -6), slice(6, -6))
        level = (new.image[inside].std() / batch.image[inside].std()).item()
        # One frequency of 64 on each axis has no half-pixel phase. Bilinear would leave 0.5.
        assert level == pytest.approx(1 - 1 / 64, abs=0.004)

    def test_after_a_blur_the_noise_of_a_pixel_is_not_known(self) -> None:
        new = Broaden(0.3).apply(self.batch(1.0), random(0))
        assert new.optics.background_sigma.isnan().all()
        with pytest.raises(InputError, match="give sigma"):
            ExtraNoise(snr_factor=2.0).apply(new, random(0))


class TestDataSets:
    def test_optics_that_a_data_set_does_not_say_are_unknown(self, undisturbed) -> None:
        data = read(undisturbed)
        attrs = {"pixel_scale": 0.1, "unit": "e-/s"}  # as of cutouts of an unnamed instrument
        batch = LensBatch.of(dataclasses.replace(data, attrs=attrs, config={}))
        assert batch.optics.psf_fwhm.isnan().all()
        assert batch.optics.background_sigma.isnan().all()

    def test_a_data_set_comes_with_its_optics(self, undisturbed) -> None:
        data = read(undisturbed)
        batch = LensBatch.of(data, np.array([4, 2]))
        assert torch.equal(batch.image, torch.from_numpy(data.image[[4, 2]]))
        assert batch.params.keys() == data.params.keys()
        assert batch.optics.pixel_scale == data.attrs["pixel_scale"]
        assert batch.optics.psf_fwhm.tolist() == [data.attrs["psf_fwhm"]] * 2
        assert batch.optics.background_sigma.tolist() == [0.0, 0.0]  # Model 2 has no noise
        chain = Compose((Symmetry(), Shift(0.05), Broaden(0.3), ExtraNoise(sigma=0.01)))
        new = chain.apply(batch, random(0))
        assert new.image.isfinite().all()
        assert new.params["vortex_angle"].isnan().tolist() == (
            batch.params["vortex_angle"].isnan().tolist()
        )


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: ExtraNoise(sigma=-0.1), r"sigma .* not below 0, got -0.1"),
            (lambda: ExtraNoise(sigma=(0.2, 0.1)), r"sigma .* range \(low, high\)"),
            (lambda: ExtraNoise(), "either sigma or snr_factor"),
            (lambda: ExtraNoise(sigma=0.1, snr_factor=2.0), "either sigma or snr_factor"),
            (lambda: ExtraNoise(snr_factor=0.5), "snr_factor .* not below 1"),
            (lambda: Broaden(0.0), "fwhm .* above 0"),
            (lambda: Broaden(math.nan), "fwhm must be a finite"),
            (lambda: Offset(math.inf), "offset must be a finite"),
            (lambda: Shift(-0.1), "max_shift must be finite and not below 0"),
            (lambda: optics(1, scale=0.0), "pixel_scale must be positive"),
        ],
    )
    def test_amounts_out_of_range_are_refused(self, make, message: str) -> None:
        with pytest.raises(InputError, match=message):
            make()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"image": torch.zeros(3, 12, 12)}, r"image must be .*\(3, 1, H, W\)"),
            ({"image": torch.zeros(3, 2, 12, 12)}, r"image must be .*\(3, 1, H, W\)"),
            ({"image": torch.zeros(3, 1, 12, 12, dtype=torch.int64)}, "floating-point"),
            ({"image_lr": torch.zeros(2, 1, 6, 6)}, "image_lr must be"),
            ({"params": {"theta_E": torch.ones(2)}}, "theta_E must have one value"),
            ({"optics": optics(1)}, "optics.psf_fwhm must have one value"),
            ({"optics_lr": None}, "go together"),
        ],
    )
    def test_shapes_that_do_not_fit_are_refused(self, changes, message: str) -> None:
        with pytest.raises(InputError, match=message):
            dataclasses.replace(pictures(), **changes)

    def test_only_square_images_turn(self) -> None:
        oblong = LensBatch(torch.zeros(2, 1, 8, 10), {}, optics(2))
        with pytest.raises(InputError, match="only square images can be turned, got 8 x 10"):
            Symmetry().apply(oblong, random(0))
        assert Shift(0.1).apply(oblong, random(0)).image.shape == (2, 1, 8, 10)
        assert Broaden(0.3).apply(oblong, random(0)).image.shape == (2, 1, 8, 10)

    def test_there_are_eight_symmetries(self) -> None:
        with pytest.raises(InputError, match="numbers 0 to 7"):
            change.turn(pictures(), torch.tensor([0, 8, 1]))

    def test_a_psf_cannot_become_narrower(self) -> None:
        with pytest.raises(InputError, match=r"fwhm 0.1 arcsec is below the 0.2 arcsec"):
            Broaden(0.1).apply(pictures(), random(0))

    def test_a_psf_of_the_same_width_changes_nothing(self) -> None:
        batch = pictures()
        known = dataclasses.replace(batch.optics, psf_fwhm=torch.full((3,), FWHM))  # float32
        new = Broaden(FWHM).apply(dataclasses.replace(batch, optics=known), random(0))
        torch.testing.assert_close(new.image, batch.image, rtol=0, atol=1e-6)
        assert torch.equal(new.optics.background_sigma, batch.optics.background_sigma)

    def test_a_psf_of_unknown_width_cannot_be_broadened(self) -> None:
        batch = dataclasses.replace(pictures(), optics=optics(3, fwhm=math.nan))
        with pytest.raises(InputError, match="not known"):
            Broaden(0.3).apply(batch, random(0))

    def test_a_lower_snr_needs_noise(self) -> None:
        with pytest.raises(InputError, match=r"known .* and not zero; give sigma"):
            ExtraNoise(snr_factor=2.0).apply(pictures(sigma=0.0), random(0))

    def test_a_shift_stays_inside_the_field(self) -> None:
        with pytest.raises(InputError, match=r"below half the field, 0\.48 arcsec"):
            change.shift(pictures(), torch.full((3,), 0.5), torch.zeros(3))

    def test_half_a_position_is_refused(self) -> None:
        batch = dataclasses.replace(pictures(), params={"center_x": torch.zeros(3)})
        with pytest.raises(InputError, match="every column center_x needs its center_y"):
            Symmetry().apply(batch, random(0))
