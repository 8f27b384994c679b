"""Lens fits of images, with the model that their data set needs."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from learn.lens_fits import sersic_fits, shapelet_fits
from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.draws import DrawSettings
from learn.lens_fits.fit_model import FitModel
from learn.lens_fits.solve import fit_images, fit_loose_images, recipe
from learn.lens_fits.store import fit_data_set
from learn.tasks.misfit import find_seen
from learn.views.symmetries import turn_channels
from simulate.augment.transforms import turn_images
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet
from tests.learn.conftest import WHOLE_FIT

SERSIC = FitModel(lens_light=False, shapelets=False)
SHAPELETS = FitModel(lens_light=True, shapelets=True)


def test_the_fit_of_a_turned_image_is_the_turned_fit(smooth: DataSet) -> None:
    rows = np.flatnonzero(fit_data_set(smooth, WHOLE_FIT).chi2_dof < 1.1)[:4]
    known, flux = Photometry.of(smooth).select(rows), torch.from_numpy(smooth.image[rows])
    symmetry = torch.tensor([1, 3, 4, 6])
    before = fit_loose_images(flux, known, WHOLE_FIT, SERSIC).channels
    after = fit_loose_images(turn_images(flux, symmetry), known, WHOLE_FIT, SERSIC).channels
    assert isinstance(before, torch.Tensor)
    assert isinstance(after, torch.Tensor)
    assert after.dtype == flux.dtype
    expected = turn_channels(before, symmetry)
    difference = (after[:, 0] - expected[:, 0]).flatten(1).norm(dim=1) / 64
    assert difference.median() < 0.05, "sigma"


@pytest.mark.parametrize("model", [SERSIC, SHAPELETS])
def test_images_are_fitted_by_the_model_of_their_data_in_electrons(
    smooth: DataSet, model: FitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of another unit are the same flux, and a lens shines where the model says so."""
    seen = []
    for module, name in ((sersic_fits, "fit_sersics"), (shapelet_fits, "fit_shapelets")):
        monkeypatch.setattr(module, name, lambda *given, name=name: seen.append((name, given)))
    known = Photometry.of(smooth).select(slice(0, 3))
    known.rate[:] = [1.0, 2.0, 0.5]
    images = torch.from_numpy(smooth.image[:3, 0])
    fit_images(images, known, WHOLE_FIT, model)
    ((name, (flux, _, _, lens_light, draws)),) = seen
    assert name == ("fit_shapelets" if model.shapelets else "fit_sersics")
    assert lens_light is model.lens_light
    assert draws is None
    torch.testing.assert_close(flux, images * torch.tensor([1.0, 2.0, 0.5])[:, None, None])


def test_the_recipe_stays_that_of_files_that_exist(smooth: DataSet) -> None:
    """The fit is a function of this text and the image; with another it would be done again."""
    text = recipe(Photometry.of(smooth), WHOLE_FIT, SERSIC)
    assert text.startswith("[[5, 2000.0, 0.5, 128, 5], {")
    model = {"lens_light": False, "shapelets": False}
    assert json.loads(text)[2:] == [{"steps": 50, "high_pass": False}, model, None]


def test_whatever_changes_a_fit_changes_its_recipe(smooth: DataSet) -> None:
    known = Photometry.of(smooth)
    coarse = WHOLE_FIT.model_copy(update={"source_order": 8})
    texts = [
        recipe(known, WHOLE_FIT, SERSIC),
        recipe(known, WHOLE_FIT.model_copy(update={"residual": "high-pass"}), SERSIC),
        recipe(known, WHOLE_FIT.model_copy(update={"steps": 0}), SERSIC),
        recipe(known, WHOLE_FIT, FitModel(lens_light=True, shapelets=False)),
        recipe(known, WHOLE_FIT, SHAPELETS),
        recipe(known, coarse, SHAPELETS),
        recipe(known, WHOLE_FIT, SERSIC, DrawSettings(12, 40)),
        recipe(known, WHOLE_FIT, SERSIC, DrawSettings(12, 20)),
    ]
    assert len(set(texts)) == len(texts)
    # A Sersic source has no order, and what an encoder sees is chosen later.
    assert recipe(known, coarse, SERSIC) == texts[0]
    blind = WHOLE_FIT.model_copy(update={"response": False, "source_plane": False})
    assert recipe(known, blind, SERSIC) == texts[0]
    other = known.select(slice(3, 5))
    assert recipe(other, WHOLE_FIT, SERSIC) == texts[0], "rate and exposure belong to the image"


def pad(known: Photometry, images: torch.Tensor, value: float) -> tuple[torch.Tensor, Photometry]:
    """Images with four pixels around them, which are known to be padding."""
    around = np.full((len(images), 4), 4)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4), value=value)
    return padded, dataclasses.replace(known, padding=around)


@pytest.mark.parametrize(
    ("model", "most"), [(SERSIC, 0.02), (FitModel(lens_light=False, shapelets=True), 0.5)]
)
def test_padding_does_not_count_in_a_fit(smooth: DataSet, model: FitModel, most: float) -> None:
    known = Photometry.of(smooth).select(slice(0, 3))
    own = torch.from_numpy(smooth.image[:3, 0])[:, 4:-4, 4:-4]
    # With more noise shapelets can explain a source that has none of their edges.
    noise = 10 * known.background_sigma
    own = own + noise * torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    known = dataclasses.replace(known, background_sigma=float(np.hypot(noise, 0.1 * noise)))
    config = WHOLE_FIT.model_copy(update={"source_order": 8})
    alone = fit_images(own, known, config, model)
    sky, stray = (fit_images(*pad(known, own, v), config, model) for v in (0.0, 0.5))
    assert torch.equal(sky.values, stray.values), "whatever lies in the padding"
    assert torch.equal(sky.chi2_dof, stray.chi2_dof)
    torch.testing.assert_close(sky.chi2_dof, alone.chi2_dof, rtol=1e-3, atol=0.0)
    for name in ("theta_E", "e1", "center_x", "source_center_x"):
        offset = (sky.params[name] - alone.params[name]).abs()
        assert (offset < most * alone.errors[name]).all(), name
    assert isinstance(sky.channels, torch.Tensor)
    parts = CHANNELS.split(sky.channels.float())
    outside = torch.ones(own.shape[-1] + 8, own.shape[-1] + 8, dtype=torch.bool)
    outside[4:-4, 4:-4] = False
    assert (parts["response"][..., outside] == 0).all()
    assert parts["residual"][..., outside].abs().max() < 1e-3, "a high-pass filter over the noise"
    assert sky.channels.isfinite().all()
    assert not find_seen(parts["sigma"][:, 0])[:, outside].any()


def test_an_image_of_few_pixels_is_fitted_with_its_padding(smooth: DataSet) -> None:
    """Fewer do not constrain a lens; one such image must not stop the fits of all others."""
    known, small = Photometry.of(smooth).select(slice(0, 1)), torch.zeros(1, 32, 32)
    small[:, 12:21, 12:21] = torch.from_numpy(smooth.image[:1, 0, 28:37, 28:37])
    padded = dataclasses.replace(known, padding=np.array([[12, 11, 12, 11]]))
    found = fit_images(small, padded, WHOLE_FIT, SERSIC)
    assert torch.equal(found.values, fit_images(small, known, WHOLE_FIT, SERSIC).values)
