"""Judging of images by a task."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lensphys as lp
from learn.data import InMemory
from learn.data_description import describe
from learn.splits import Split
from learn.tasks.judging import judge_batch, judge_rows, learn_ordinary
from learn.tasks.outliers import NOT_LENS, POOR, UNLIKE, Resemblance
from simulate import shards
from tests.learn.conftest import LENS_FIT, QUICK_FIT

ROWS = np.arange(24)
PARTS = Split(train=ROWS[:16], validation=ROWS[16:], test=ROWS[:0])


@pytest.mark.parametrize("task", ["classify", "superres"])
def test_without_lens_fits_the_features_of_the_encoder_are_compared(
    task: str, pairs: Path, untrained_task: Any
) -> None:
    module, data = untrained_task(task, pairs, "false_flags=0.5")
    memory = module.load(data, "cpu")
    learn_ordinary(module, memory, PARTS)
    judged = judge_rows(module, ROWS, memory)
    assert judged is not None
    assert list(judged.columns) == ["distance"]
    batch = judge_batch(module, memory[torch.from_numpy(ROWS[:5])])
    assert batch is not None
    found, whole = batch.columns["distance"], judged.columns["distance"]
    np.testing.assert_allclose(found, whole[:5], rtol=1e-4)
    assert judged.rows(PARTS.validation).flagged.mean() <= 0.5
    batch_of_all = memory[torch.from_numpy(ROWS)]
    image = getattr(batch_of_all, module.column)
    noisy = image + torch.randn(image.shape) * image.amax()
    noisy = batch_of_all._replace(**{module.column: noisy})
    odd = judge_batch(module, noisy)
    assert odd is not None
    assert odd.has(UNLIKE).mean() > 0.9


def learned_classifier(
    smooth: shards.DataSet, untrained_task: Any, fit: str
) -> tuple[Any, shards.DataSet, InMemory, Resemblance]:
    """A classifier that has learned which images are ordinary, and how it judges its own."""
    names = {"label_names": ["no_sub", "cdm"]}
    smooth = dataclasses.replace(smooth, attrs=smooth.attrs | names)
    module, data = untrained_task("classify", smooth, fit, "false_flags=0.05")
    memory = module.load(data, "cpu")
    learn_ordinary(module, memory, PARTS)
    usual = judge_rows(module, ROWS, memory)
    assert usual is not None
    return module, data, memory, usual


def test_images_whose_noise_is_larger_than_is_assumed_are_fitted_poorly(
    smooth: shards.DataSet, untrained_task: Any
) -> None:
    """In training as in prediction; the flags are stored with the weights."""
    module, data, memory, usual = learned_classifier(smooth, untrained_task, LENS_FIT)
    assert not usual.flagged.all()
    rng = np.random.default_rng(0)
    noise = rng.normal(0, data.attrs["background_sigma"], data.image[:4].shape)
    images = torch.from_numpy((data.image[:4] + noise).astype(np.float32))
    exposure = data.params["exposure_time"][:4]
    fits = module.fit_loose(images, describe(data), exposure, "run")
    batch = memory[torch.arange(4)]._replace(image=images, fits=fits)
    judged = judge_batch(module, batch)
    assert judged is not None
    # Shot noise stays what it is.
    chi2 = judged.columns["chi2_dof"]
    assert ((chi2 > 1.5) & (chi2 < 2.1)).all()
    assert judged.has(POOR).all()


def test_a_blank_sky_and_a_galaxy_without_arcs_may_be_no_lenses(
    smooth: shards.DataSet, untrained_task: Any
) -> None:
    module, data, memory, usual = learned_classifier(smooth, untrained_task, QUICK_FIT)
    assert usual.has(NOT_LENS).mean() <= 0.1
    x, y = lp.pixel_grid(data.image.shape[-1], float(data.attrs["pixel_scale"]))
    galaxy = lp.Sersic(amplitude=2.0, R_sersic=0.6, n_sersic=1.5, e1=0.1, e2=0.05)
    noise = torch.randn(2, 1, *x.shape, generator=torch.Generator().manual_seed(0))
    sky = noise * data.attrs["background_sigma"]
    images = sky + torch.stack([0 * x, galaxy.surface_brightness(x, y)])[:, None]
    fits = module.fit_loose(images, describe(data), data.params["exposure_time"][:2], "run")
    batch = memory[torch.arange(2)]._replace(image=images, fits=fits)
    judged = judge_batch(module, batch)
    assert judged is not None
    assert judged.has(NOT_LENS).all()
    limit = usual.columns["radius_error"].max()
    assert (judged.columns["radius_error"] > 3 * limit).all()


def test_a_task_that_flags_nothing_has_nothing_to_learn(model2: Path, untrained_task: Any) -> None:
    module, data = untrained_task("classify", model2, "false_flags=null")
    memory = module.load(data, "cpu")
    learn_ordinary(module, memory, PARTS)
    assert judge_rows(module, ROWS, memory) is None
    assert judge_batch(module, memory[torch.arange(2)]) is None
    assert not [name for name in module.state_dict() if name.startswith("outliers")]
