"""Scenes follow the published distributions."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from learn.baselines.radial import radial_features
from lensphys.ground.errors import InputError
from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.presets.published import PublishedPrior
from simulate.scenes import Deflectors, Scene
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES

N = 3000


#: Chance that a test of a true distribution fails; the seeds are fixed, so it fails never or always
P = 1e-3


@pytest.fixture(scope="module")
def scene(configure):
    return PublishedPrior(configure(1)).draw(0, N)


def of_class(scene, name):
    return (scene.label == CLASSES.index(name)).numpy()


def substructure_of(scene, wanted):
    """Parameters of the point masses of some images, which have equally many."""
    (part,) = [part for part in scene.substructure if wanted[part.rows[0]]]
    assert (part.rows.numpy() == np.flatnonzero(wanted)).all()
    return part.params


def uniform(low, high):
    return stats.uniform(low, high - low).cdf


def test_classes_take_turns(scene):
    assert scene.label.dtype == torch.int64
    assert (scene.label == torch.arange(N) % 3).all()


@pytest.mark.parametrize("axis", ["x", "y"])
def test_sources_are_uniform_in_a_square(scene, axis):
    center = scene.params[f"source_center_{axis}"].numpy()
    assert np.abs(center).max() <= 0.35
    assert stats.kstest(center, uniform(-0.35, 0.35)).pvalue > P


def test_the_coordinates_of_a_source_are_independent(scene):
    x, y = (scene.params[f"source_center_{axis}"].numpy() for axis in "xy")
    assert stats.pearsonr(x, y).pvalue > P
    # Consecutive images too.
    assert stats.pearsonr(x[1:], x[:-1]).pvalue > P


def test_exposure_of_model_1_is_log_uniform(scene):
    exposure = np.log10(scene.params["exposure_time"].numpy())
    assert stats.kstest(exposure, uniform(3, 3.5)).pvalue > P


def test_images_without_substructure_have_none(scene):
    none = of_class(scene, "no_sub")
    for part in scene.substructure:
        assert not none[part.rows].any()
    assert not scene.params["substructure_mass"][none].any()


def test_there_are_always_25_subhaloes(scene):
    cdm = of_class(scene, "cdm")
    assert (scene.params["n_substructure"][cdm] == 25).all()
    masses = substructure_of(scene, cdm)
    assert (masses["theta_E"] > 0).all()
    assert masses["theta_E"].shape == (cdm.sum(), 25)


def test_the_vortex_is_100_masses_of_3e10_solar_masses_in_all(scene):
    axion = of_class(scene, "axion")
    assert (scene.params["n_substructure"][axion] == 100).all()
    mass = scene.params["substructure_mass"][axion].numpy()
    assert mass == pytest.approx(np.full(axion.sum(), 3e10), rel=1e-12)


def test_axion_mass_is_log_uniform_and_other_classes_have_none(scene):
    axion = of_class(scene, "axion")
    mass = scene.params["axion_mass"].numpy()
    assert stats.kstest(np.log10(mass[axion]), uniform(-24, -22)).pvalue > P
    assert np.isnan(mass[~axion]).all()
    assert scene.params["log10_axion_mass"].numpy()[axion] == pytest.approx(np.log10(mass[axion]))


def test_vortex_length_is_inverse_to_the_axion_mass(scene):
    axion = of_class(scene, "axion")
    mass, length, angle = (
        scene.params[name][axion].numpy()
        for name in ("axion_mass", "vortex_half_length", "vortex_angle")
    )
    assert length == pytest.approx(0.06 / (2 * mass) * 1e-22, rel=1e-9)
    assert stats.kstest(angle, uniform(0, np.pi)).pvalue > P
    masses = substructure_of(scene, axion)
    x, y = masses["center_x"].numpy(), masses["center_y"].numpy()
    assert np.hypot(x, y).max(1) == pytest.approx(length, rel=1e-9)
    assert np.abs(x * np.sin(angle)[:, None] - y * np.cos(angle)[:, None]).max() < 1e-9


@pytest.mark.parametrize("model", [1, 2, 3])
def test_einstein_radius_of_the_main_lens_is_the_published_one(configure, model):
    prior = PublishedPrior(configure(model))
    assert prior.scale.theta_E(1e12) == pytest.approx(1.28149057, rel=1e-8)
    assert (prior.draw(0, 3).params["theta_E"] == prior.scale.theta_E(1e12)).all()


def test_einstein_radius_goes_as_the_root_of_the_mass(configure):
    prior = PublishedPrior(configure())
    assert prior.scale.theta_E(4e8) == pytest.approx(2 * prior.scale.theta_E(1e8), rel=1e-12)


@pytest.mark.parametrize(("model", "scale"), [(1, 1.0), (2, 0.6343147), (3, 0.6343147)])
def test_deflections_are_rescaled_in_the_multi_plane_models(configure, model, scale):
    assert PublishedPrior(configure(model)).alpha_scale == pytest.approx(scale, abs=1e-7)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["lens.z_source=0.4"], "behind the lens"),
        (["source.amplitude=3"], "either amplitude or magnitude"),
        (["source.magnitude=null"], "either amplitude or magnitude"),
    ],
)
def test_a_configuration_that_describes_no_lens_is_refused(configure, sets, message):
    with pytest.raises(InputError, match=message):
        PublishedPrior(configure(2, *sets))


def test_a_magnitude_fixes_the_flux_of_the_source(configure):
    """Magnitude 20 at zero point 24 is 39.8 e-/s, so many as the unlensed source has."""
    params = PublishedPrior(configure(2)).draw(0, 1).params
    radius = np.linspace(0, 10, 200_001)
    amplitude, R = params["source_amplitude"].item(), params["source_R_sersic"].item()
    brightness = amplitude * np.exp(-(1.9992 - 0.3271) * (radius / R - 1))
    flux = np.trapezoid(2 * np.pi * radius * brightness, radius)
    assert flux == pytest.approx(10 ** (0.4 * (24 - 20)), rel=1e-6)


def independent_scene(template: Scene, name: str, rng: np.random.Generator) -> Scene:
    """Our constants, with everything random drawn as the description of DeepLenseSim says."""
    n = len(template)
    k = {"no_sub": 0, "cdm": 25, "axion": 100}[name]
    mass, x, y = np.zeros((3, n, k))
    if name == "cdm":
        # dN/dm ~ m^-0.9 by inverting a table of its cumulative distribution.
        log_m = np.linspace(6, 10, 100_001)
        cumulative = np.cumsum((10**log_m) ** 0.1)
        mass = 10 ** np.interp(rng.random((n, k)), cumulative / cumulative[-1], log_m)
        r, phi = 0.25 + 1.75 * rng.random((n, k)), 2 * np.pi * rng.random((n, k))
        x, y = r * np.cos(phi), r * np.sin(phi)
    elif name == "axion":
        mass[:] = 3e8
        length = 0.06 / (2 * 10 ** rng.uniform(-24, -22, (n, 1))) * 1e-22
        phi = 2 * np.pi * rng.random((n, 1))
        along = np.linspace(-1, 1, k)
        x, y = length * along * np.cos(phi), length * along * np.sin(phi)
    theta_E = 1.28149057 * np.sqrt(mass / 1e12)
    params = {key: values.clone() for key, values in template.params.items()}
    for axis in "xy":
        params[f"source_center_{axis}"] = torch.from_numpy(rng.uniform(-0.35, 0.35, n))
    columns = {"theta_E": theta_E, "center_x": x, "center_y": y}
    masses = {key: torch.from_numpy(values) for key, values in columns.items()}
    substructure = (Deflectors("PointMass", torch.arange(n), masses),) if k else ()
    return dataclasses.replace(template, params=params, substructure=substructure)


@pytest.mark.parametrize("name", CLASSES)
def test_images_look_like_those_of_independent_draws(configure, name):
    """Radial features of our images against lenstronomy's images of other scenes: one population.

    Two-sample tests of all 42 features, Bonferroni-corrected over features and classes.
    """
    n = 120
    config = configure(2, seed=11, classes=[name])
    scene, (ours,) = make_images(config, PublishedPrior(config), make_renderers(config), 0, n)
    theirs = independent_scene(scene, name, np.random.default_rng(22))
    renderer = LenstronomyRenderer(instrument(config.instrument), config.planes())
    reference = 2 * renderer.render(theirs)
    samples = radial_features(ours), radial_features(reference)
    assert samples[0].shape == (n, 42)
    p = [stats.ks_2samp(a, b).pvalue for a, b in zip(samples[0].T, samples[1].T, strict=True)]
    assert min(p) * 42 * len(CLASSES) > 0.01


def test_the_comparison_of_populations_can_tell_them_apart(configure):
    """The same test as above, between classes, fails by far."""
    features = []
    for name in ("no_sub", "axion"):
        config = configure(2, seed=11, classes=[name])
        _, (images,) = make_images(config, PublishedPrior(config), make_renderers(config), 0, 120)
        features.append(radial_features(images))
    p = [stats.ks_2samp(a, b).pvalue for a, b in zip(features[0].T, features[1].T, strict=True)]
    assert min(p) * 42 * len(CLASSES) < 1e-6


@pytest.mark.parametrize("model", [1, 2, 3])
def test_a_lens_whose_ring_leaves_the_image_is_refused(configure, model):
    with pytest.raises(InputError, match=r"lens: the mass puts the ring .* from the middle, but"):
        PublishedPrior(configure(model, "lens.mass=1e20"))
