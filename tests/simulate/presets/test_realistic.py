"""The preset ``realistic``: the lenses of ``physical`` with what makes those of the sky hard."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from lensphys.ground.errors import InputError
from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.dataset.twins import twin_residuals
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.light.scene_light import add_light
from simulate.presets import load_simulate_config, make_prior
from simulate.run import Shard, make_shard, simulate
from simulate.shards import read, read_shard

N = 600
HEAVY_NEIGHBOURS = ("neighbours.fraction=1", "neighbours.theta_E.low=0.25")


@pytest.fixture(scope="module")
def config(configure):
    return configure(3, preset="realistic")


@pytest.fixture(scope="module")
def scene(config):
    return make_prior(config).draw(0, N)


@pytest.fixture(scope="module")
def data(configure, tmp_path_factory):
    out = tmp_path_factory.mktemp("realistic") / "data"
    return read(simulate(configure(2, preset="realistic", n=30, shard_size=12, out=out))[0])


def column(scene, name):
    return scene.params[name].numpy()


def test_lens_and_substructure_are_those_of_physical(configure, scene, config):
    same = {name: getattr(config, name) for name in ("lens", "cosmology", "instrument")}
    physical = configure(3, preset="physical").model_copy(update=same)
    other = make_prior(physical).draw(0, N)
    for name in ("theta_E", "theta_E_main", "gamma", "gamma2", "source_e1", "substructure_mass"):
        assert np.array_equal(column(scene, name), column(other, name)), name


@pytest.mark.parametrize("order", [3, 4])
def test_multipoles_are_one_per_cent_of_the_ring(scene, order):
    parts = [
        column(scene, f"a{order}_{axis}") / column(scene, "theta_E") for axis in ("cos", "sin")
    ]
    assert np.sqrt((np.hypot(*parts) ** 2).mean()) == pytest.approx(0.01, rel=0.08)
    assert abs(np.corrcoef(*parts)[0, 1]) < 0.15


def test_the_psf_scatters_about_the_one_that_is_told(scene):
    assert column(scene, "psf_width").mean() == pytest.approx(1, abs=0.005)
    assert column(scene, "psf_width").std() == pytest.approx(0.03, rel=0.12)
    e1, e2 = column(scene, "psf_e1"), column(scene, "psf_e2")
    assert np.sqrt((e1**2 + e2**2).mean()) == pytest.approx(0.03, rel=0.1)


def test_what_is_new_does_not_depend_on_the_class(scene):
    label = scene.label.numpy()
    for name in ("a3_cos", "psf_width", "source_clump_share", "source_arm_contrast"):
        values = column(scene, name)
        for other in (1, 2):
            assert stats.ks_2samp(values[label == 0], values[label == other]).pvalue > 1e-3, name
    beside = ~np.isnan(column(scene, "neighbour_theta_E"))
    counts = np.bincount(label[beside], minlength=3)
    assert np.ptp(counts) < 5 * np.sqrt(counts.mean())


@pytest.mark.parametrize("model", [1, 2, 3])
def test_lenstronomy_renders_the_same_scenes(configure, model):
    """Rays that lenstronomy traces, through power law, multipoles, neighbours and subhaloes."""
    sets = ("cdm.mass_min=2e9", "substructure_fraction.low=0.09", "neighbours.fraction=1")
    config = configure(model, *sets, preset="realistic")
    camera = instrument(config.instrument)
    scene = add_light(make_prior(config).draw(0, 2), config, camera, None)
    how = {
        "supersampling": config.supersampling,
        "tolerance": config.ray_tolerance(),
        "widest_psf": config.widest_psf(),
    }
    ours = TorchRenderer(camera, dtype=torch.float64, **how).render_parts(scene, twins=True)
    theirs = LenstronomyRenderer(camera, **how).render_parts(scene, twins=True)
    for name in ("source", "light", "twins"):
        mine, reference = getattr(ours, name), getattr(theirs, name)
        # lenstronomy cuts the cusp of a halo off at 1e-3 Rs.
        assert np.abs(mine - reference).max() < 1e-6 * reference.max(), name
    assert np.abs(ours.source[1] - ours.twins[1]).max() > 1e-3 * ours.source.max()
    single = TorchRenderer(camera, **how).render(scene)
    assert np.abs(single - theirs.total).max() < 1e-4 * theirs.total.max()


@pytest.mark.parametrize("sets", [(), HEAVY_NEIGHBOURS])
def test_rays_are_enough_where_light_is_steep(configure, sets):
    """Twelve times as many rays everywhere change an image by less than its subhaloes do.

    A heavy neighbour moves arcs by several pixels, and with them the pixels that take rays.
    """
    config = configure(3, *sets, preset="realistic")
    camera = instrument(config.instrument)
    scene = make_prior(config).draw(0, 24)
    few = make_renderers(config)[0][1].render(scene)
    many = TorchRenderer(camera, supersampling=4, tolerance=0.02, widest_psf=1.1).render(scene)
    exposure = column(scene, "exposure_time")[:, None, None]
    sigma = np.sqrt(camera.background_sigma**2 + many.clip(min=0) / exposure)
    error = np.sqrt((((few - many) / sigma) ** 2).sum((1, 2)))
    assert np.median(error) < 6
    assert np.quantile(error, 0.9) < 20


def test_rays_are_enough_where_vortices_split_the_light(configure):
    """The difference of image and twin, whose S/N is a label, against 4 x 4 rays everywhere."""
    config = configure(3, "classes=[axion]", preset="realistic")
    camera = instrument(config.instrument)
    scene = make_prior(config).draw(0, 60)
    few = make_renderers(config)[0][1].render_parts(scene, twins=True)
    most = TorchRenderer(camera, supersampling=4, tolerance=1e-4, widest_psf=1.1)
    most = most.render_parts(scene, twins=True)
    exposure = column(scene, "exposure_time")[:, None, None]
    sigma = np.sqrt(camera.background_sigma**2 + most.source.clip(min=0) / exposure)
    error = (few.source - few.twins - most.source + most.twins) / sigma
    error = np.sqrt((error**2).sum((1, 2)))
    assert np.quantile(error, 0.9) < 10
    assert error.max() < 25


def test_the_psf_of_each_image_is_the_true_one(configure, config):
    """A wider PSF lowers the peaks of the same scenes; the one that is told stays."""
    scene = make_prior(config).draw(0, 4)
    renderer = make_renderers(config)[0][1]
    wide = scene.params | {"psf_width": torch.full((4,), 1.1, dtype=torch.float64)}
    narrow = scene.params | {"psf_width": torch.full((4,), 0.9, dtype=torch.float64)}
    peaks = [
        renderer.render(dataclasses.replace(scene, params=params)).max((1, 2))
        for params in (wide, narrow)
    ]
    assert (peaks[0] < 0.98 * peaks[1]).all()


def test_a_psf_of_twice_the_width_is_not_cut_off(configure):
    """The width of the image of a point."""
    config = configure(1, "psf.width.high=2", preset="realistic")
    camera, renderer = make_renderers(config)[0]
    scene = make_prior(config).draw(0, 1)
    names = ("psf_width", "psf_e1", "psf_e2")
    columns = (torch.tensor([v], dtype=torch.float64) for v in (2.0, 0.0, 0.0))
    scene = dataclasses.replace(scene, params=scene.params | dict(zip(names, columns, strict=True)))
    point = torch.zeros(1, camera.n_pix, camera.n_pix)
    point[0, 70, 70] = 1
    image = renderer.collect(scene, point)[0].double()
    along = torch.arange(camera.n_pix) - 70.0
    sigma = (image.sum(0) * along**2).sum().div(image.sum()).sqrt() * camera.pixel_scale
    assert sigma.item() == pytest.approx(2 * camera.psf_fwhm / 2.3548200450309493, rel=0.02)


def test_an_image_does_not_depend_on_the_shards(configure, data, tmp_path):
    config = configure(2, preset="realistic", n=30)
    make_shard(config, tmp_path, Shard(3, 7, 11))
    columns, params, _ = read_shard(tmp_path / "shard-00003.h5", 4)
    assert np.array_equal(columns["image"], data.image[7:11])
    for name, values in params.items():
        assert np.array_equal(values, data.params[name][7:11], equal_nan=True), name


def test_twins_are_true_and_leave_noise_alone(data):
    residual = twin_residuals(data)
    chi2 = (residual**2).mean((1, 2, 3))
    smooth = data.label == 0
    assert chi2[smooth] == pytest.approx(np.ones(smooth.sum()), abs=0.12)
    pixels = residual[0].size
    strong = data.params["perturbation_snr"] > 40
    excess = (chi2[strong] - 1) * pixels / data.params["perturbation_snr"][strong] ** 2
    assert np.median(excess) == pytest.approx(1, abs=0.15)


def test_the_shard_tells_the_mean_psf(data):
    camera = instrument("euclid_vis")
    assert data.attrs["psf_fwhm"] == camera.psf_fwhm
    assert np.ptp(data.params["psf_width"]) > 0.02


def test_real_galaxies_take_the_place_of_drawn_ones(configure):
    from simulate.sources.galaxies import load_galaxies
    from tests.simulate.light.scene_images import with_galaxies

    config = with_galaxies(configure(2, preset="realistic"))
    galaxies = load_galaxies(config.galaxies)
    renderers = make_renderers(config, galaxies)
    scene, (image,) = make_images(config, make_prior(config), renderers, 0, 4, galaxies)
    assert np.isfinite(image).all()
    assert scene.params["source_arms"].isnan().all()
    assert scene.params["source_angle"].isfinite().all()


def test_look_alikes_share_the_sky_of_lenses(configure):
    config = configure(2, "non_lens.fraction=0.5", "neighbours.fraction=1", preset="realistic")
    scene, (image,) = make_images(config, make_prior(config), make_renderers(config), 0, 8)
    none = (scene.label == 3).numpy()
    assert np.isfinite(image).all()
    for name in ("theta_E", "a3_cos", "source_flux", "lens_light_disc_share"):
        assert np.isnan(column(scene, name)[none]).all(), name
    for name in ("psf_width", "neighbour_flux", "exposure_time"):
        assert np.isfinite(column(scene, name)).all(), name


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["lens_light.enabled=false"], "lenses of the preset realistic shine"),
        (["observation=counts"], "does not go with this preset"),
        (["multipoles.a3.high=0.5"], "multipoles.a3: must lie between"),
        (["psf.e.high=0.5"], "psf.e: must lie between"),
        (["psf.width.low=0.1"], "psf.width: must lie between"),
        (["neighbours.theta_E.high=3"], "neighbours.theta_E: must lie between"),
        (["neighbours.distance=[2,1]"], "first must not be above the second"),
        (["source.structure.arms=[7]"], "numbers from 1 to 3"),
        (["source.structure.bulge_share.high=0.8"], "must leave 5% of the light to the disc"),
        (["source.structure.clump_size.low=0.01"], "clump_size: must lie between"),
        (["lens_envelope.share=[0,1.5]"], "both must be from 0 to 1"),
    ],
)
def test_a_configuration_that_describes_no_lens_is_refused(configure, sets, message):
    with pytest.raises(InputError, match=message):
        configure(2, *sets, preset="realistic")


def test_options_and_files_of_other_presets_are_refused(configure):
    with pytest.raises(InputError, match="--lens-light does not apply to preset realistic"):
        load_simulate_config(2, "realistic", overrides={"lens_light.enabled": True})
    with pytest.raises(InputError, match="does not go with this preset"):
        configure(2, "observation=drizzled", preset="physical")
    from simulate.presets import simulate_config_path

    path = simulate_config_path(2, "physical")
    with pytest.raises(InputError, match="is for model 2, preset physical; give --model 2"):
        load_simulate_config(2, "realistic", path=path)


def test_a_magnitude_of_lenses_needs_a_zero_point(configure):
    sets = ("lens_light.brightness.magnitude=19", "lens_light.brightness.flux=null")
    with pytest.raises(InputError, match="zero point"):
        make_prior(configure(1, *sets, preset="realistic"))
