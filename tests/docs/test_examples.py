"""The worked examples run, and the numbers that they print are right."""

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel

import lensphys as lp

NAMES = ("critical_curves", "euclid_lenses", "time_delays")


def test_a_tangential_and_a_radial_caustic_are_drawn(run_example):
    example = run_example("critical_curves")
    assert [curve.kind for curve in example.curves] == ["tangential", "radial"]
    for curve in example.curves:
        mu = example.lens.magnification(curve.x[None], curve.y[None]).abs()
        assert mu.min() > 1e8


def test_the_galaxy_inside_both_caustics_has_five_images_that_make_it_as_bright_as_printed(
    run_example,
):
    example = run_example("critical_curves")
    source = example.source
    images = lp.image_positions(example.lens, source.center_x, source.center_y, window=5.0)
    assert int(images.mask.sum()) == 5
    assert images.magnification.abs().min() < 0.1  # the one at the centre
    x, y = lp.pixel_grid(1000, 0.005, dtype=torch.float64)
    lensed = source.surface_brightness(*example.lens.ray_trace(x, y)).sum()
    ratio = float(lensed / source.surface_brightness(x, y).sum())
    assert f"{ratio:.1f} times as bright" in example.printed


def test_all_euclid_lenses_are_modelled_to_the_noise(run_example):
    example = run_example("euclid_lenses")
    assert example.result.converged.all()
    assert example.images.shape == (100, 64, 64)
    # chi^2 per degree of freedom has a standard deviation of 0.022 for these.
    assert (example.result.chi2_dof - 1).abs().max() < 0.1
    assert example.result.chi2_dof.mean().item() == pytest.approx(1.0, abs=0.01)


def test_the_error_bars_of_the_euclid_lenses_are_right(run_example):
    example = run_example("euclid_lenses")
    pulls = torch.stack(list(example.pulls.values()))
    assert len(pulls) == len(example.result.names) == 14
    # Median and width of 100 normal numbers scatter by 0.13 and 0.07.
    assert example.middle.abs().max() < 0.5
    assert (example.width - 1).abs().max() < 0.3
    assert (pulls.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.04)
    assert pulls.abs().max() < 6
    error = example.result.params["theta_E"] - example.truth["theta_E"]
    assert error.abs().max() < 0.02


def test_delays_are_positive_and_in_order(run_example):
    delays = run_example("time_delays").delays.detach()
    assert len(delays) == 3
    assert (delays > 0).all()
    assert (delays.diff() > 0).all()


def test_minima_arrive_before_saddles(run_example):
    parity = run_example("time_delays").images.magnification.detach().sign()
    assert parity.tolist() == [1, 1, -1, -1]


def test_delays_are_those_of_lenstronomy(run_example):
    from astropy.cosmology import FlatLambdaCDM

    example = run_example("time_delays")
    theirs = LensModel(
        ["EPL", "SHEAR"],
        z_lens=0.5,
        z_source=1.7,
        cosmo=FlatLambdaCDM(H0=70.0, Om0=0.3, Tcmb0=0),
    ).arrival_time(
        example.images.x.detach().numpy(),
        example.images.y.detach().numpy(),
        [
            {"theta_E": 1.4, "gamma": 1.95, "e1": 0.12, "e2": -0.06},
            {"gamma1": 0.05, "gamma2": 0.03},
        ],
    )
    # lenstronomy rounds the speed of light and the like to some digits.
    np.testing.assert_allclose(example.delays.detach(), (theirs - theirs[0])[1:], rtol=1e-6)


def test_delays_fall_as_the_inverse_of_the_hubble_constant(run_example):
    example = run_example("time_delays")
    expected = -example.delays.detach() / 70.0
    torch.testing.assert_close(example.by_H0, expected, rtol=1e-10, atol=0)


def test_the_derivative_by_the_einstein_radius_is_that_of_moved_images(run_example):
    example = run_example("time_delays")

    def delays(theta_E: float) -> torch.Tensor:
        shear = example.lens.deflectors[1]
        main = lp.EPL(theta_E=theta_E, gamma=1.95, e1=0.12, e2=-0.06)
        lens = lp.ThinLens([main, shear])
        at = example.beta_x, example.beta_y
        images = lp.image_positions(lens, *at, window=5.0)
        found = lens.arrival_time(images.x[None], images.y[None], example.D_dt.item(), *at)[0]
        return found[1:] - found[0]

    step = 1e-4
    slope = (delays(1.4 + step) - delays(1.4 - step)) / (2 * step)
    torch.testing.assert_close(example.by_theta_E, slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_draws_a_figure_and_prints_finite_numbers(
    name, run_example, pages, shows_something
):
    printed = run_example(name).printed
    assert printed.count("\n") > 2
    assert "nan" not in printed
    assert "inf" not in printed.replace("inside", "")
    assert shows_something(pages / "generated" / "examples" / f"{name}.png")


def test_every_example_is_tested(pages):
    assert sorted(path.stem for path in (pages / "tutorials").glob("*.py")) == sorted(NAMES)
