"""The part of a task that fits lenses to its images."""

import dataclasses

import numpy as np
import pytest
import torch

from learn.data_description import describe
from learn.lens_fits.lens_fitting import LensFitting
from lensphys.ground.errors import InputError
from simulate.shards import DataSet
from tests.learn.conftest import WHOLE_FIT


def part(exposure: float = 70.0) -> LensFitting:
    made = LensFitting(WHOLE_FIT, "image")
    made.exposure.fill_(exposure)
    return made


def test_the_exposure_time_is_the_median_of_the_training_images(smooth: DataSet) -> None:
    fitting, train = LensFitting(WHOLE_FIT, "image"), np.arange(5)
    assert fitting.exposure.isnan(), "before any training"
    fitting.learn(smooth, train)
    expected = np.median(smooth.params["exposure_time"][train])
    assert fitting.exposure.item() == pytest.approx(expected)
    assert list(fitting.state_dict()) == ["exposure"], "it is saved with the weights"


def test_images_without_an_exposure_time_get_that_of_the_training(smooth: DataSet) -> None:
    times = np.array([100.0, np.nan, 0.0])
    photometry = part().photometry(describe(smooth), times, "image", "run")
    assert photometry.exposure.tolist() == [100.0, 70.0, 70.0]


def test_loose_images_are_fitted_like_those_of_a_data_set(smooth: DataSet) -> None:
    fitting, count = part(), 6
    times = smooth.params["exposure_time"][:count]
    photometry = fitting.photometry(describe(smooth), times, "image", "run")
    images = torch.from_numpy(smooth.image[:count])
    loose = fitting.fit_images(images, photometry, describe(smooth))
    stored = fitting.fit_data_set(smooth, "cpu").rows(slice(0, count))
    difference = (loose.params["theta_E"] - stored.params["theta_E"]).abs()
    assert difference.median() < 1e-4, "arcsec; fits of other batches are rounded differently"


def test_data_without_a_psf_are_refused(smooth: DataSet) -> None:
    attrs = {key: value for key, value in smooth.attrs.items() if key != "psf_fwhm"}
    data = dataclasses.replace(describe(smooth), attrs=attrs)
    with pytest.raises(InputError, match="psf_fwhm"):
        part().photometry(data, np.ones(2), "image", "run")
