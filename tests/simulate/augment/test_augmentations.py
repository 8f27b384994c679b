"""Random changes keep what they say they keep."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

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
from simulate.augment.lens_batch import LensBatch
from tests.simulate.augment.batches import ALL, FACTOR, FWHM, NAMES, SCALE, optics, pictures, random


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

    def test_a_shift_leaves_every_number_of_the_noise(self) -> None:
        batch, by = self.batch(1.0), torch.full((40,), 2.0 * SCALE)
        new = change.shift(batch, by, -by)
        assert torch.equal(new.image[..., :-2, 2:], batch.image[..., 2:, :-2])
        torch.testing.assert_close(new.optics.background_sigma, batch.optics.background_sigma)

    def test_after_a_blur_the_noise_of_a_pixel_is_not_known(self) -> None:
        new = Broaden(0.3).apply(self.batch(1.0), random(0))
        assert new.optics.background_sigma.isnan().all()
        with pytest.raises(InputError, match="give sigma"):
            ExtraNoise(snr_factor=2.0).apply(new, random(0))


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
