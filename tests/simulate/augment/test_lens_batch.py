"""A batch knows the optics of its data set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lensphys.ground.errors import InputError
from simulate.augment.augmentations import (
    Broaden,
    Compose,
    ExtraNoise,
    Shift,
    Symmetry,
)
from simulate.augment.lens_batch import LensBatch
from simulate.shards import read
from tests.simulate.augment.batches import random


class TestDataSets:
    def test_optics_that_a_data_set_does_not_say_are_unknown(self, undisturbed) -> None:
        data = read(undisturbed)
        attrs = {"pixel_scale": 0.1, "unit": "e-/s"}  # as of cutouts of an unnamed instrument
        batch = LensBatch.of(dataclasses.replace(data, attrs=attrs, config={}))
        assert batch.optics.psf_fwhm.isnan().all()
        assert batch.optics.background_sigma.isnan().all()

    def test_correlated_noise_is_not_that_of_the_background(self, undisturbed) -> None:
        data = read(undisturbed)
        for observation, known in (("detector", True), ("drizzled", False)):
            config = {"observation": observation}
            attrs = data.attrs | {"unit": "e-/s", "background_sigma": 0.01}
            batch = LensBatch.of(dataclasses.replace(data, attrs=attrs, config=config))
            assert bool(batch.optics.background_sigma.isfinite().all()) is known

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

    def test_the_width_of_a_moffat_psf_is_not_that_of_a_gaussian(self, undisturbed) -> None:
        data = read(undisturbed)
        batch = LensBatch.of(dataclasses.replace(data, attrs=data.attrs | {"psf_beta": 3.0}))
        with pytest.raises(InputError, match="it is no Gaussian"):
            Broaden(0.3).apply(batch, random(0))
