"""Lens light, look-alikes and real galaxies in the scenes of both presets."""

import numpy as np
import pytest
import torch

from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.instruments import instrument
from simulate.light.lens_light import LENS_LIGHT_LABELS
from simulate.sources.galaxies import load_galaxies
from tests.simulate.light.scene_images import PRESETS, images, lit, with_galaxies


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.5, 0.9])
def test_the_fraction_of_non_lenses_is_the_one_asked_for(configure, preset, fraction):
    config = configure(2, f"non_lens.fraction={fraction}", preset=preset)
    labels = config.labels(0, 300)
    assert config.label_names == ["no_sub", "cdm", "axion", "non_lens"]
    assert (labels == 3).sum() == round(300 * fraction)
    # The classes of lenses stay balanced, and labels do not depend on where a block begins.
    assert np.ptp(np.bincount(labels[labels < 3], minlength=3)) <= 1
    assert (config.labels(17, 60) == labels[17:60]).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_non_lens_shows_light_but_has_no_lens(configure, preset):
    config = configure(2, "non_lens.fraction=0.5", preset=preset)
    scene, (image,) = images(config, 24)
    none = (scene.label == 3).numpy()
    assert none.sum() == 12
    for name in ("theta_E", "source_center_x", "lens_light_flux", "substructure_mass"):
        values = scene.params[name].numpy()
        assert np.isnan(values[none]).all(), name
        assert np.isfinite(values[~none]).all(), name
    kinds = scene.params["non_lens_kind"].numpy()
    assert np.isfinite(kinds[none]).all()
    assert np.isnan(kinds[~none]).all()
    assert np.isfinite(image).all()
    assert (image[none].sum((1, 2, 3)) > 0).all()
    if preset == "physical":
        assert np.isnan(scene.params["perturbation_snr"].numpy()[none]).all()


@pytest.mark.parametrize("model", [1, 2, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_lens_light_adds_to_the_lensed_source(configure, preset, model):
    """Noise-free, the image with lens light is the one without plus that of the lens alone."""
    dark = configure(model, preset=preset, observation="noise_free")
    bright = configure(model, "lens_light.enabled=true", preset=preset, observation="noise_free")
    (scene, (with_light,)), (_, (without,)) = images(bright, 6), images(dark, 6)
    assert set(LENS_LIGHT_LABELS) <= scene.params.keys()
    added = (with_light - without)[:, 0]
    peak = np.array([np.unravel_index(a.argmax(), a.shape) for a in added])
    scale = instrument(bright.instrument).pixel_scale
    expected = np.stack([scene.params[f"lens_light_center_{a}"].numpy() for a in "yx"], axis=1)
    assert (peak - (added.shape[-1] - 1) / 2) * scale == pytest.approx(expected, abs=1.01 * scale)
    # A tail of a de Vaucouleurs profile lies outside of the field.
    inside = added.sum((1, 2)) / scene.params["lens_light_flux"].numpy()
    assert ((inside > 0.3) & (inside < 1.01)).all()


def test_the_backends_agree_on_lens_light_and_look_alikes(configure):
    config = configure(2, "non_lens.fraction=0.5")
    scene, camera = lit(config, 12), instrument(config.instrument)
    ours = TorchRenderer(camera, dtype=torch.float64).render(scene)
    theirs = LenstronomyRenderer(camera, config.planes()).render(scene)
    assert np.abs(ours - theirs).max() < 1e-8 * theirs.max()


@pytest.mark.parametrize("preset", PRESETS)
def test_real_galaxies_take_the_place_of_the_smooth_source(configure, preset):
    """The light is where lenstronomy puts it, up to the order of the interpolation."""
    config = with_galaxies(configure(2, preset=preset, observation="noise_free"))
    galaxies = load_galaxies(config.galaxies)
    scene, camera = lit(config, 9, galaxies), instrument(config.instrument)
    assert set(scene.params["source_stamp"].tolist()) <= set(range(len(galaxies)))
    assert scene.params["source_n_sersic"].isnan().all()
    ours = TorchRenderer(camera, galaxies=galaxies, dtype=torch.float64).render(scene)
    renderer = LenstronomyRenderer(camera, config.planes(), galaxies=galaxies)
    theirs = renderer.render(scene.select(torch.tensor([0, 3])))
    # Cubic here, linear there.
    assert np.abs(ours[[0, 3]] - theirs).max() < 0.1 * theirs.max()
    assert ours[[0, 3]].sum((1, 2)) == pytest.approx(theirs.sum((1, 2)), rel=1e-2)
