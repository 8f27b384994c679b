"""Summaries in ten lines, and advice on fits that are poor."""

import dataclasses

import pytest
import torch

from lensphys import fit
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like


@pytest.fixture(scope="module")
def good():
    truth = draw(2, seed=4)
    images = image_of(truth)
    images = images + 0.05 * noise_like(images, 1)
    prior = {"gamma1": (0.0, 0.1)}
    return fit(images, 0.05, **KIND, start=truth, priors=prior, fixed={"gamma2": truth["gamma2"]})


def test_a_result_prints_in_ten_lines(good):
    lines = repr(good).splitlines()
    assert len(lines) <= 10
    assert lines[0] == "Fit of 2 lenses: SIE + Shear, source Sersic, lens light none"
    text = repr(good)
    for name in good.names:
        assert name.removeprefix("source_") in text
    assert "priors: gamma1 0.00 +- 0.10" in text
    assert "(fixed)" in text
    assert "converged 2 of 2" in lines[-1]
    assert str(good) == text


def test_values_of_one_lens_come_with_error_and_unit():
    truth = draw(1, seed=4)
    result = fit(image_of(truth), 0.05, **KIND, start=truth, max_steps=1)
    value, error = float(result.params["theta_E"]), float(result.errors["theta_E"])
    line = next(line for line in repr(result).splitlines() if "theta_E" in line)
    shown, rest = line.split("theta_E ")[1].split(" +- ")[:2]
    assert float(shown) == pytest.approx(value, abs=0.06 * error)
    assert float(rest.split('"')[0]) == pytest.approx(error, rel=0.06)


def test_a_good_fit_needs_no_advice(good):
    assert good.advice() == [[], []]


def test_what_is_wrong_with_a_fit_is_named(good):
    poor = dataclasses.replace(
        good,
        converged=torch.tensor([False, True]),
        chi2_dof=torch.tensor([1.0, 3.0]).double(),
        errors={**good.errors, "e1": torch.tensor([torch.inf, 0.1]).double()},
    )
    first, second = poor.advice()
    assert any("not converged" in line for line in first)
    assert any("do not constrain e1" in line for line in first)
    assert len(second) == 1
    assert "chi^2/dof is 3.00" in second[0]
    assert "2 with advice()" in repr(poor)
    large = dataclasses.replace(good, chi2_dof=torch.tensor([0.5, 1.0]).double())
    assert "sigma is probably too large" in large.advice()[0][0]


def test_a_parameter_at_its_bound_is_named():
    truth = draw(1, seed=4)
    images = image_of(truth)
    radius = float(truth["source_R_sersic"])
    bounds = {"source_R_sersic": (1.3 * radius, 3 * radius)}
    result = fit(images, 0.3, **KIND, start=truth, bounds=bounds)
    assert any("source_R_sersic is at its lower bound" in line for line in result.advice()[0])


def test_a_source_that_copies_the_image_is_named():
    truth = draw(1, seed=4)
    start = {**truth, "theta_E": 0.05, "source_R_sersic": 0.8}
    copied = fit(image_of(truth), 0.3, **KIND, start=start, max_steps=0)
    assert any("copies the image" in line for line in copied.advice()[0])


def test_the_light_of_the_lens_has_a_line_of_its_own():
    scene = LensScene(lens_light=True)
    truth = draw(1, seed=4, scene=scene)
    images = image_of(truth, scene=scene)
    result = fit(images, 0.05, **KIND, lens_light=True, start=truth, max_steps=1)
    assert any(line.startswith("  lens light: amplitude") for line in repr(result).splitlines())
