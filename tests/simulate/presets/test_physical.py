"""The preset ``physical``: one population of lenses for all classes."""

import numpy as np
import pytest
import torch
from scipy import stats

import lensphys as lp
from lensphys.ground.errors import InputError
from simulate.presets import make_prior
from simulate.presets.physical import PhysicalPrior, compensated_theta_E
from simulate.run import simulate
from simulate.shards import read
from simulate.substructure.base import in_einstein_radii
from simulate.substructure.base import mean_radial_deflection as mass_inside

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
    """Mean over the Einstein ring, arcsec: the substructure of each image on its own."""
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
    """The main lens lacks the mass of the substructure inside the ring: Gauss' theorem.

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


def test_an_image_does_not_depend_on_the_shards(configure, physical_data, tmp_path):
    config = configure(2, preset="physical", n=70, shard_size=33, out=tmp_path / "data")
    other = read(simulate(config)[0])
    assert np.array_equal(other.image, physical_data.image[:70])
    for name, values in other.params.items():
        assert np.array_equal(values, physical_data.params[name][:70], equal_nan=True), name


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
        (["observation=counts"], "does not go with this preset, which has detector, noise_free"),
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
