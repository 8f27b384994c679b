"""An encoder as it is used."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learn import load_encoder
from learn.data import Batch, Stretch
from learn.data_description import describe
from learn.inference.encoder_input import EncoderInput
from learn.inference.export import export
from learn.inference.loaded_encoder import LoadedEncoder
from learn.inference.model_file import restore
from learn.lens_fits.lens_fitting import LensFitting
from learn.networks import encoder_files
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import QUICK_FIT


def test_features_are_those_of_the_network_on_stretched_images(
    encoder_run: Path, model2: Path
) -> None:
    encoder, data = load_encoder(encoder_run), shards.read(model2)
    about = json.loads((encoder_run / "encoder.json").read_text())
    constants = about["input"]
    stretched = np.arcsinh(data.image / constants["softening"])
    stretched = (stretched - constants["mean"]) / constants["std"]
    network = encoder_files.load_encoder(encoder_run).eval()
    expected = network.features(torch.from_numpy(stretched.astype(np.float32)))
    found = encoder.features_of(data)
    assert found.shape == (60, encoder.width) == (60, 24)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_arrays_and_tensors_of_any_form_have_the_same_features(
    encoder_run: Path, model2: Path
) -> None:
    encoder, images = load_encoder(str(encoder_run)), shards.read(model2).image[:3]
    found = encoder.features(images)
    for same in (torch.from_numpy(images), images[:, 0], images.astype(">f8"), images.tolist()):
        torch.testing.assert_close(encoder.features(same), found, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoder.features(images[1, 0]), found[1:2], rtol=1e-4, atol=1e-5)
    assert encoder.features(images[:0]).shape == (0, encoder.width)


def test_the_encoder_of_a_fine_tuned_run_and_of_its_export_is_that_of_the_task(
    classifier: Path, model2: Path, tmp_path: Path
) -> None:
    task, _ = restore(classifier)
    images = torch.from_numpy(shards.read(model2).image[:3])
    batch = Batch(images, torch.zeros(3, dtype=torch.int64), None)
    expected = task.eval().encoder.features(task.encoder_input(batch))
    for folder in (classifier, export(classifier, tmp_path / "out")):
        found = load_encoder(folder).features(images)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_an_encoder_of_low_resolution_sees_the_images_that_its_task_saw(
    superresolver: Path, pairs: Path, model2: Path
) -> None:
    encoder, data = load_encoder(superresolver), shards.read(pairs)
    assert (encoder.column, encoder.size, encoder.pixel_scale) == ("image_lr", 32, 0.202)
    assert data.image_lr is not None
    expected = encoder.features(data.image_lr[:2])
    torch.testing.assert_close(encoder.features_of(data)[:2], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="no images at lower resolution"):
        encoder.features_of(shards.read(model2))


def test_the_example_of_the_guide_runs(encoder_run: Path, model2: Path) -> None:
    guide = Path(__file__).parents[3] / "docs/how_to/embed.md"
    code = guide.read_text(encoding="utf-8").split("```{code-block} python\n")[1].split("```")[0]
    names: dict[str, Any] = {"images": shards.read(model2).image[:3, 0]}
    exec(code.replace("runs/mae", str(encoder_run)), names)
    assert names["features"].shape == (3, 24)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((2, 3, 64, 64)), {}, "one channel, got 3"),
        (np.full((1, 64, 64), np.nan), {}, "finite numbers; fill bad pixels"),
        (np.zeros((1, 64, 64), bool), {}, "real ones"),
        (np.zeros((1, 64, 64)), {"psf_fwhm": 0.0}, "psf_fwhm must be positive"),
        (np.zeros((1, 150, 150)), {}, r"150 pixels on a side, and .* was trained on 64; resample"),
        (np.zeros((1, 64, 64)), {"pixel_scale": 0.05}, r"pixels of 0\.05 arcsec, and .* on 0\.101"),
    ],
)
def test_images_that_it_cannot_take_are_refused_in_one_line(
    encoder_run: Path, images: Any, options: Any, message: str
) -> None:
    with pytest.raises((ValueError, InputError), match=message):
        load_encoder(encoder_run).features(images, **options)


def test_data_sets_far_from_the_training_are_refused(encoder_run: Path, model2: Path) -> None:
    encoder, data = load_encoder(encoder_run), shards.read(model2)
    coarse = dataclasses.replace(data, attrs=data.attrs | {"pixel_scale": 0.4})
    with pytest.raises(InputError, match=r"pixels of 0\.4 arcsec.*give .*/shard-\*\.h5"):
        encoder.features_of(coarse)
    counts = dataclasses.replace(data, attrs=data.attrs | {"unit": "counts"})
    with pytest.raises(InputError, match=r"in 'counts', and .* was trained on '2 e-/s'"):
        encoder.features_of(counts)
    near = dataclasses.replace(data, attrs=data.attrs | {"pixel_scale": 0.08})
    assert torch.equal(encoder.features_of(near), encoder.features_of(data)), "as they are"


def test_lens_fits_have_the_optics_that_are_given(
    noisy: Path, tmp_path: Path, untrained_task: Any
) -> None:
    """Features are those of the data set under the same optics, and others under another PSF."""
    data = shards.read(shutil.copytree(noisy, tmp_path / "data"))
    few = dataclasses.replace(
        data,
        image=data.image[:2],
        label=data.label[:2],
        params={name: values[:2] for name, values in data.params.items()},
    )
    task, _ = untrained_task("classify", few, QUICK_FIT)
    form = describe(few)
    wrong = dataclasses.replace(form, attrs=form.attrs | {"psf_fwhm": 0.3})
    assert isinstance(task.lens_fitting, LensFitting)
    assert isinstance(task.stretch, Stretch)
    seen = EncoderInput(task.stretch, task.lens_fitting)
    right, misled = (LoadedEncoder(task.encoder, seen, each, tmp_path) for each in (form, wrong))
    assert right.sees_lens_fits
    own = right.features_of(few)
    times = few.params["exposure_time"]
    with torch.no_grad():
        found = right.features(few.image, exposure=times)
        other = misled.features(few.image, exposure=times)
        given = misled.features(
            few.image,
            exposure=times,
            psf_fwhm=form.attrs["psf_fwhm"],
            pixel_scale=right.pixel_scale,
        )
    scatter = own.std()
    assert (found - own).abs().max() < 1e-2 * scatter
    torch.testing.assert_close(given, found, rtol=1e-4, atol=1e-5)
    assert (other - own).abs().max() > 5e-2 * scatter
