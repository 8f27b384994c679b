"""Priors and bounds of lenses of galaxies."""

import math

import pytest
import torch

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.default_priors import make_priors, narrow_bounds
from tests.lensphys.fitting.linear.scenes import pixels_of, scene_of

RADIUS = torch.tensor([1.0, 2.0]).double()


@pytest.fixture(scope="module")
def scene():
    return scene_of(pixels_of(), "shapelets", "two ellipses", 0, "EPL", multipoles=(1, 4))


def test_mass_follows_light(scene):
    names = ("e1", "e2", "center_x", "center_y")
    light = {name: torch.tensor([0.1, -0.1]).double() * k for k, name in enumerate(names, 1)}
    priors = make_priors(scene.names, RADIUS, light).named(torch.float64)
    for name in names:
        assert (priors[name][0] == light[name]).all()
        assert priors[name][1].tolist() == pytest.approx([0.12 if name[0] == "e" else 0.05] * 2)
    dark = make_priors(scene.names, RADIUS, None).named(torch.float64)
    for name in names:
        assert not dark[name][0].any()
        assert (dark[name][1] > priors[name][1]).all()


def test_slopes_shear_and_multipoles_are_those_of_galaxies(scene):
    priors = make_priors(scene.names, RADIUS, None).named(torch.float64)
    assert [v[0].item() for v in priors["gamma"]] == pytest.approx([2.08, 0.16])
    assert [v[0].item() for v in priors["gamma1"]] == pytest.approx([0.0, 0.05])
    # A hundredth of an Einstein radius.
    assert priors["a4_cos"][1].tolist() == pytest.approx([0.01, 0.02])
    assert priors["theta_E"][0].tolist() == pytest.approx([0.9, 1.8])
    assert all(math.isfinite(v.sum()) for pair in priors.values() for v in pair)


def test_bounds_are_narrowed_but_never_crossed(scene):
    bounds = Bounds(scene.ranges, 3.0, RADIUS, {}, None)
    before = bounds.low.clone(), bounds.high.clone()
    narrow_bounds(bounds, scene.names, RADIUS, RADIUS, 0.2)
    assert (bounds.low >= before[0]).all()
    assert (bounds.high <= before[1]).all()
    assert (bounds.low < bounds.high).all()
    k = scene.names.index("theta_E")
    assert bounds.low[:, k].tolist() == pytest.approx([0.2, 0.4])
    assert bounds.high[:, k].tolist() == pytest.approx([1.2, 2.4])
    k = scene.names.index("source_beta")
    assert bounds.high[:, k].tolist() == pytest.approx([0.2, 0.4])


def test_bounds_of_a_caller_are_left(scene):
    bounds = Bounds(scene.ranges, 3.0, RADIUS, {"theta_E": (0.1, 2.9)}, None)
    narrow_bounds(bounds, {*scene.names} - {"theta_E"}, RADIUS, RADIUS, 0.2)
    k = scene.names.index("theta_E")
    assert bounds.high[:, k].tolist() == pytest.approx([2.9, 2.9])
