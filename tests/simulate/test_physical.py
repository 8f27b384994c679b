"""The preset ``physical``: one population of lenses for all classes, and honest noise."""

import numpy as np
import pytest
import torch
from scipy import stats

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES
from simulate.dataset.twins import twin_residuals
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.observe import detector, noise_sigma
from simulate.presets import config_of, make_prior
from simulate.presets.physical import PhysicalPrior, compensated_theta_E
from simulate.substructure.axion import Vortex
from simulate.substructure.base import in_einstein_radii, mean_radial_deflection as mass_inside
from simulate.run import simulate
from simulate.shards import read

P = 1e-3
N = 900


@pytest.fixture(scope="module")
def scene(configure):
    return PhysicalPrior(configure(2, preset="physical")).draw(0, N)


def drawn(scene, name):
    """A column of each class."""
    return [scene.params[name][scene.label == i].numpy() for i in range(3)]


COLUMNS = ("theta_E", "gamma", "e1", "gamma2", "center_x", "source_R_sersic", "source_magnitude")


@pytest.mark.parametrize("name", COLUMNS)
def test_the_macro_model_does_not_depend_on_the_class(scene, name):
    for one, other in ((0, 1), (0, 2)):
        columns = drawn(scene, name)
        assert stats.ks_2samp(columns[one], columns[other]).pvalue > P


@pytest.mark.parametrize("name", COLUMNS)
def test_every_image_has_a_lens_of_its_own(scene, name):
    assert len(np.unique(scene.params[name].numpy())) == N


def test_theta_E_follows_its_prior(configure, scene):
    prior = configure(2, preset="physical").lens.theta_E
    u = np.linspace(0, 1, 2001)
    values = scene.params["theta_E"].numpy()
    cumulative = stats.kstest(values, lambda v: np.interp(v, prior.quantile(u), u))
    assert cumulative.pvalue > P


def test_cdm_and_axion_share_the_prior_of_the_mass_fraction(scene):
    none, cdm, axion = drawn(scene, "substructure_fraction")
    assert not none.any()
    assert stats.ks_2samp(cdm, axion).pvalue > P
    assert stats.kstest(np.log10(np.concatenate([cdm, axion])), stats.uniform(-2, 1).cdf).pvalue > P


def test_sources_lie_in_a_disc_of_part_of_the_einstein_radius(configure, scene):
    p = {name: values.numpy() for name, values in scene.params.items()}
    x, y = (p[f"source_center_{axis}"] - p[f"center_{axis}"] for axis in "xy")
    offset = configure(2, preset="physical").source.offset
    assert stats.kstest((np.hypot(x, y) / p["theta_E"] / offset) ** 2, "uniform").pvalue > P


def mean_radial_deflection(scene, rows, points=2000):
    """Of the substructure, over the Einstein ring, arcsec: a sum over each image on its own."""
    angle = torch.arange(points, dtype=torch.float64) * (2 * np.pi / points)
    cos, sin = torch.cos(angle)[None], torch.sin(angle)[None]
    (part,) = scene.select(rows).substructure
    means = []
    for i, row in enumerate(rows.tolist()):
        p = {name: values[row].item() for name, values in scene.params.items()}
        x, y = p["center_x"] + p["theta_E"] * cos, p["center_y"] + p["theta_E"] * sin
        profile = getattr(lp, part.profile)
        deflectors = lp.Population(profile(**{k: v[i] for k, v in part.params.items()}))
        alpha_x, alpha_y = deflectors.deflection(x, y)
        means.append((alpha_x * cos + alpha_y * sin).mean().item())
    return np.array(means)


@pytest.mark.parametrize(("label", "tolerance"), [(1, 3e-6), (2, 1e-3)])
def test_the_mass_inside_the_ring_is_that_of_theta_E_in_every_class(scene, label, tolerance):
    """What the substructure adds inside the ring, the main lens lacks: Gauss' theorem.

    The mean over the ring of a line that crosses it, where its deflection jumps, converges slowly:
    what tolerance there is for it is of this test.
    """
    rows = (scene.label == label).nonzero()[:12, 0]
    theta_E, main, gamma = (
        scene.params[name][rows].numpy() for name in ("theta_E", "theta_E_main", "gamma")
    )
    of_main = theta_E * (main / theta_E) ** (gamma - 1)
    total = of_main + mean_radial_deflection(scene, rows)
    assert total == pytest.approx(theta_E, rel=tolerance)
    share = scene.params["substructure_fraction_ring"][rows].numpy()
    assert mean_radial_deflection(scene, rows) / theta_E == pytest.approx(share, abs=tolerance)
    assert (main < theta_E * 1.001).all()


@pytest.mark.parametrize("model", [1, 2, 3])
def test_images_of_subhaloes_and_vortices_are_lenstronomys(configure, model):
    """The same scenes through both backends; the vortex is many point masses in lenstronomy."""
    config = configure(model, "cdm.mass_min=2e9", preset="physical")
    scene = PhysicalPrior(config).draw(0, 3)
    camera = instrument(config.instrument)
    ours = TorchRenderer(camera, dtype=torch.float64, supersampling=2).render(scene)
    theirs = LenstronomyRenderer(camera, supersampling=2).render(scene)
    deviation = np.abs(ours - theirs).reshape(3, -1) / theirs.reshape(3, -1).max(1)[:, None]
    assert deviation[0].max() < 1e-8
    assert deviation[1].max() < 1e-6  # lenstronomy cuts the cusp of a halo off at 1e-3 Rs
    # A chain of point masses is rough at the distance of its links, a line is not.
    assert np.quantile(deviation[2], 0.99) < 1e-4
    assert deviation[2].max() < 0.05


def test_a_pair_shows_one_scene_in_two_resolutions(configure):
    config = configure(2, preset="physical", pairs=2, observation="noise_free")
    _, (high, low) = make_images(config, make_prior(config), make_renderers(config), 0, 6)
    assert low.shape[-1] * 2 == high.shape[-1]
    blocks = high.reshape(6, 1, 32, 2, 32, 2).sum((3, 5))
    # The PSF of the coarser image is wider, but the light is the same.
    assert low.sum((1, 2, 3)) == pytest.approx(blocks.sum((1, 2, 3)), rel=2e-2)


def test_a_detector_counts_electrons():
    """Mean and variance of the noise are those of shot noise and background."""
    model = np.full((1, 300, 300), 0.05, np.float32)
    exposure, background = np.array([2000.0]), 0.003
    image = detector(model, background, exposure, lambda i: np.random.default_rng(i))[0]
    sigma = noise_sigma(model, background, exposure)[0, 0, 0]
    assert sigma == pytest.approx(np.sqrt(0.003**2 + 0.05 / 2000), rel=1e-6)
    assert image.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * image.size))
    assert image.mean() == pytest.approx(0.05, abs=float(5 * sigma / 300))


@pytest.fixture(scope="module")
def data(configure, tmp_path_factory):
    config = configure(2, preset="physical", n=90, shard_size=40)
    out = tmp_path_factory.mktemp("physical") / "data"
    return read(simulate(config.model_copy(update={"out": out}))[0])


def test_every_image_knows_how_strong_its_signal_is(data):
    snr, label = data.params["perturbation_snr"], data.label
    assert not snr[label == 0].any()
    assert (snr[label != 0] > 0).all()
    assert (data.params["peak_snr"] > 1).all()


def test_perturbation_snr_is_what_the_twin_says(data):
    """Chi-squared of the residual against the twin: noise, and the squared perturbation on top."""
    residual = twin_residuals(data)
    chi2 = (residual**2).sum((1, 2, 3))
    none = data.label == CLASSES.index("no_sub")
    pixels = residual[0].size
    assert chi2[none] / pixels == pytest.approx(np.ones(none.sum()), abs=6 * np.sqrt(2 / pixels))
    excess = chi2[~none] - pixels
    expected = data.params["perturbation_snr"][~none] ** 2
    strong = expected > 30**2
    assert strong.sum() > 10
    # The twin has another shot noise than the image, by the part that is perturbed.
    assert np.median(excess[strong] / expected[strong]) == pytest.approx(1, abs=0.1)


def test_the_configuration_comes_back_from_the_manifest(configure, data):
    config = configure(2, preset="physical", n=90, shard_size=40)
    assert config_of(data.config, device="cpu").identity() == config.identity()


def test_images_of_the_published_presets_have_no_twins(configure, tmp_path):
    published = read(simulate(configure(2, n=3, out=tmp_path / "data"))[0])
    with pytest.raises(InputError, match="twins"):
        twin_residuals(published)


def test_an_image_does_not_depend_on_the_shards(configure, data, tmp_path):
    config = configure(2, preset="physical", n=70, shard_size=33, out=tmp_path / "data")
    other = read(simulate(config)[0])
    assert np.array_equal(other.image, data.image[:70])
    for name, values in other.params.items():
        assert np.array_equal(values, data.params[name][:70], equal_nan=True), name


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["lens.z_source=0.4"], "behind the lens"),
        (["source.magnitude=null"], "either magnitude or flux"),
        (["lens.theta_E.low=-1"], "lens.theta_E: must lie between"),
        (["lens.e.high=0.9"], "lens.e: must lie between"),
        (["cosmology=Plank18"], "did you mean 'Planck18'"),
        (["cdm.mass_min=1e11"], "mass_min must be below mass_max"),
        (["cdm.mass_slope=300"], "cdm.mass_slope: Input should be less than or equal to 5"),
        (["exposure_log10=[30,40]"], "exposures lie between"),
        (["lens.theta_E={distribution: normall}"], "lens.theta_E"),
        (["lens.theta_E.high=3.5"], "rings up to 3.65 arcsec"),
        (["observation=counts"], "noise of its detector"),
        (["source.offset=5"], "source.offset"),
        (["axion.ring_distance.low=-1"], "axion.ring_distance: must lie between"),
        (["axion.log10_mass.high=3"], "axion.log10_mass: must lie between"),
        (["cdm.host_radius=10"], "core_radius must be below host_radius"),
        (["cdm.host_radius=12", "cdm.core_radius=5"], "host_radius of 12 kpc lies inside"),
        (["substructure_fraction={distribution: uniform, low: 0.0, high: 1.2}"], "between 0 and 1"),
    ],
)
def test_a_configuration_that_describes_no_lens_is_refused(configure, sets, message):
    with pytest.raises(InputError, match=message):
        make_prior(configure(2, *sets, preset="physical"))


def test_substructure_that_outweighs_the_lens_is_refused():
    lens = {"theta_E": 1.2, "gamma": 2.0, "center_x": 0.1, "center_y": 0.0}
    mass = {"theta_E": 1.3, "center_x": 0.2, "center_y": 0.0}
    deflectors = {name: np.full((1, 1), value) for name, value in mass.items()}
    params = {name: np.full(1, value) for name, value in lens.items()}
    share = mass_inside("PointMass", in_einstein_radii("PointMass", deflectors, params))
    with pytest.raises(InputError, match=r"substructure has 1\.17 times the mass of the lens"):
        compensated_theta_E(share, params)


@pytest.mark.parametrize(
    ("half_length", "phi", "center_x", "share"),
    [
        (0.1, 0.0, 0.3, 1.0),  # inside
        (0.1, 0.0, 1.2, 0.0),  # outside
        (0.1, 0.0, 1.0, 0.5),  # across the ring
        (0.2, 0.0, 0.9, 0.75),
        (4.0, 0.5 * np.pi, 0.0, 0.25),  # through the whole lens
        (0.5, 0.5 * np.pi, 0.6, 1.0),  # beside the middle, along the chord
    ],
)
def test_a_line_weighs_by_its_length_inside_the_ring(half_length, phi, center_x, share):
    lens = {"theta_E": 1.5, "center_x": 0.1, "center_y": 0.0}
    line = {"theta_E": 0.3, "half_length": 1.5 * half_length, "phi": phi}
    line |= {"center_x": 0.1 + 1.5 * center_x, "center_y": 0.0}
    deflectors = {name: np.full((1, 1), value) for name, value in line.items()}
    params = {name: np.full(1, value) for name, value in lens.items()}
    found = Vortex().share_inside_ring(deflectors, params)
    assert found == pytest.approx(share * (0.3 / 1.5) ** 2, abs=1e-12)
