"""Maps and curves of the page for one position of the sliders."""

from collections.abc import Callable

import numpy as np
import pytest

import lensphys as lp
from learn.explore.observation import Observation, observe
from learn.explore.settings import ExploreSettings
from learn.explore.view import Explorer, Switches
from lensphys.cosmology import mass_of_theta_E
from lensphys.ground.config import load_config, shipped_config


@pytest.fixture
def explorer(settings_of: Callable[..., ExploreSettings]) -> Explorer:
    settings = settings_of(pixel_scale=0.2)
    return Explorer(observe(None, settings), settings)


def seen(explorer: Explorer, values: dict[str, float], switches: Switches) -> Explorer:
    """A page with the image that another shows."""
    view = explorer.view(values, switches)
    image = view.image.astype(float)
    noise = np.full(image.shape, values["noise"])
    scale = explorer.observation.pixel_scale
    psf = lp.GaussianPSF(fwhm=values["fwhm"], pixel_scale=scale)
    mock = Observation("mock", explorer.observation.shape, scale, image, noise, psf)
    shipped = shipped_config("explore", "explore", "command")
    return Explorer(mock, load_config(ExploreSettings, shipped))


def test_without_an_image_the_residual_is_what_a_smooth_lens_lacks(explorer: Explorer) -> None:
    values = explorer.start
    plain = explorer.view(values, Switches())
    assert plain.chi2_dof == pytest.approx(1.0, abs=0.2)
    assert np.abs(plain.snr).max() < 6
    massive = explorer.view(values | {"log10_mass": 10.0}, Switches(subhalo=True))
    assert massive.chi2_dof > 2 * plain.chi2_dof
    assert massive.snr.max() > 10
    ny, nx = massive.snr.shape
    row, column = np.unravel_index(massive.snr.argmax(), (ny, nx))
    scale = explorer.observation.pixel_scale
    assert (column - (nx - 1) / 2) * scale == pytest.approx(values["subhalo_x"], abs=3 * scale)
    assert (row - (ny - 1) / 2) * scale == pytest.approx(values["subhalo_y"], abs=3 * scale)
    again = explorer.view(values, Switches())
    np.testing.assert_array_equal(again.image, plain.image)


def test_the_model_is_the_image_of_the_sliders(explorer: Explorer) -> None:
    values, switches = explorer.start, Switches(lens_light=True)
    view = explorer.view(values, switches)
    x, y = lp.pixel_grid(24, 0.2)
    lens = lp.ThinLens(
        [
            lp.EPL(**{name: values[name] for name in lp.EPL.parameter_names()}),
            lp.Shear(gamma1=values["gamma1"], gamma2=values["gamma2"]),
        ]
    )
    lights = [
        lp.Sersic(
            amplitude=10 ** values[f"log10_{part}_amplitude"],
            **{n: values[f"{part}_{n}"] for n in ("R_sersic", "n_sersic", "e1", "e2")},
            **{f"center_{a}": values[f"{where}center_{a}"] for a in "xy"},
        )
        for part, where in (("source", "source_"), ("lens_light", ""))
    ]
    psf = lp.GaussianPSF(fwhm=values["fwhm"], pixel_scale=0.2)
    expected = lp.render(lens, lights[0], x, y, psf=psf, lens_light=lights[1]).numpy()
    np.testing.assert_allclose(view.model, expected, atol=1e-4 * expected.max())
    curves = lp.critical_curves(lens, window=4.8)
    assert len(view.critical) == len(view.caustics) == len(curves)
    assert view.caustics[0][0].max() == pytest.approx(float(curves[0].beta_x.max()), abs=0.02)


@pytest.mark.parametrize("subhalo", [False, True])
def test_a_fit_leads_from_the_sliders_to_the_image(explorer: Explorer, subhalo: bool) -> None:
    truth = explorer.start | {"log10_mass": 9.5}
    switches = Switches(subhalo=subhalo)
    page = seen(explorer, truth, switches)
    begin = {name: truth[name] for name in page.knobs}
    begin |= {
        "theta_E": truth["theta_E"] * 1.05,
        "source_center_x": truth["source_center_x"] + 0.05,
    }
    assert page.view(begin, switches).chi2_dof > 2
    moved, converged = page.fit(begin, switches)
    assert converged
    assert page.view(moved, switches).chi2_dof < 1.2
    assert moved["theta_E"] == pytest.approx(truth["theta_E"], rel=0.01)
    assert moved["log10_mass"] == truth["log10_mass"]


def test_the_mass_of_a_subhalo_is_that_of_its_slider(explorer: Explorer) -> None:
    from astropy.cosmology import Planck18

    theta_E = float(explorer.subhalo(explorer.start).theta_E)
    mass = float(mass_of_theta_E(theta_E, 0.5, 1.0, Planck18))
    assert mass == pytest.approx(10**9.5, rel=0.01)


def test_everything_follows_wherever_the_sliders_stand(explorer: Explorer) -> None:
    generator = np.random.default_rng(0)
    for k in range(8):
        values = {
            name: float(generator.choice([knob.low, knob.high, knob.start]))
            for name, knob in explorer.knobs.items()
        }
        view = explorer.view(values, Switches(bool(k % 2), bool(k // 2 % 2)))
        assert np.isfinite(view.model).all(), values
        assert np.isfinite(view.residual).all()


def test_a_fit_needs_an_image(explorer: Explorer) -> None:
    with pytest.raises(ValueError, match="no image to fit"):
        explorer.fit(explorer.start, Switches())


def test_fits_end_wherever_they_start(explorer: Explorer) -> None:
    page = seen(explorer, explorer.start, Switches())
    generator = np.random.default_rng(1)
    for k in range(4):
        values = {
            name: float(generator.choice([knob.low, knob.high, knob.start]))
            for name, knob in page.knobs.items()
        }
        moved, _ = page.fit(values, Switches(lens_light=bool(k % 2)))
        assert all(page.knobs[name].low <= moved[name] <= page.knobs[name].high for name in moved)
