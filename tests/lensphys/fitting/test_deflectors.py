"""Deflectors that are fitted: agreement with lenstronomy, derivatives, mirror images, batches."""

import math

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel

from lensphys import NFW, SIS, pixel_grid
from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.scene import LensScene

PARAMS = {
    "theta_E": 1.1,
    "gamma": 1.9,
    "e1": 0.15,
    "e2": -0.1,
    "center_x": 0.07,
    "center_y": -0.05,
    "gamma1": 0.04,
    "gamma2": -0.03,
    "a1_cos": 0.02,
    "a1_sin": -0.03,
    "a3_cos": -0.01,
    "a3_sin": 0.02,
    "a4_cos": 0.03,
    "a4_sin": 0.01,
}

NEIGHBOURS = (SIS(theta_E=0.2, center_x=1.4, center_y=0.9),)

CASES = {
    "SIE": Deflectors(),
    "EPL": Deflectors("EPL"),
    "all multipoles": Deflectors("EPL", multipoles=(1, 3, 4)),
    "neighbour": Deflectors("SIE", multipoles=(4, 3), neighbours=NEIGHBOURS),
}

each_case = pytest.mark.parametrize("deflectors", CASES.values(), ids=CASES)


def params_of(deflectors, dtype=torch.float64, size=None):
    """The parameters, or those of several different lenses."""
    factor = 1.0 if size is None else torch.linspace(0.9, 1.1, size, dtype=torch.float64)
    return {
        name: torch.as_tensor(factor * PARAMS[name], dtype=torch.float64).to(dtype)
        for name in deflectors.names
    }


def polar(m):
    """Amplitude and angle of a multipole, as lenstronomy takes them."""
    a_cos, a_sin = PARAMS[f"a{m}_cos"], PARAMS[f"a{m}_sin"]
    return {"a_m": math.hypot(a_cos, a_sin), "phi_m": math.atan2(a_sin, a_cos) / m}


def test_the_deflection_agrees_with_lenstronomy(grid):
    deflectors = CASES["all multipoles"]
    centre = {name: PARAMS[name] for name in ("center_x", "center_y")}
    theirs = LensModel(["EPL", "SHEAR"] + ["MULTIPOLE"] * 3)
    keywords = [
        {name: PARAMS[name] for name in ("theta_E", "gamma", "e1", "e2")} | centre,
        {name: PARAMS[name] for name in ("gamma1", "gamma2")},
        *({"m": m, **polar(m), **centre, "r_E": PARAMS["theta_E"]} for m in (1, 3, 4)),
    ]
    x, y = (v.numpy() for v in grid)
    expected = [v.reshape(x.shape) for v in theirs.alpha(x.ravel(), y.ravel(), keywords)]
    found = deflectors.lens(params_of(deflectors)).deflection(*grid)
    np.testing.assert_allclose(torch.stack(found), expected, rtol=0, atol=1e-10)
    hessian = [v.reshape(x.shape) for v in theirs.hessian(x.ravel(), y.ravel(), keywords)]
    xx, xy, yy = deflectors.lens(params_of(deflectors)).hessian(*grid)
    np.testing.assert_allclose(torch.stack([xx, xy, xy, yy]), hessian, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_case
def test_the_deflection_is_that_of_the_lens(deflectors, dtype, grid):
    x, y = (v.to(dtype) for v in grid)
    params = params_of(deflectors, dtype, size=3)
    alpha, jacobian = deflectors.deflection_jacobian(params, x, y)
    expected = deflectors.lens(params).deflection(x, y)
    tolerance = 20 * torch.finfo(dtype).eps
    for found, wanted in zip(alpha, expected, strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    assert tuple(jacobian) == deflectors.names
    assert all(v.dtype == dtype for pair in jacobian.values() for v in pair)


@each_case
def test_the_jacobian_is_the_derivative_of_the_deflection(deflectors, grid):
    params = params_of(deflectors, size=3)
    _, jacobian = deflectors.deflection_jacobian(params, *grid)
    for name in deflectors.names:

        def deflection(value, name=name):
            return torch.stack(deflectors.lens(params | {name: value}).deflection(*grid))

        step = 1e-5
        high, low = (deflection(params[name] + sign * step) for sign in (1, -1))
        found = torch.stack(torch.broadcast_tensors(*jacobian[name], high[0])[:2])
        torch.testing.assert_close(found, (high - low) / (2 * step), rtol=1e-7, atol=1e-7)


def test_deflection_and_jacobian_are_differentiable_without_multipoles_too(grid):
    """At an amplitude of 0, where a fit starts, an angle of a multipole would have no gradient."""
    deflectors = CASES["all multipoles"]
    params = params_of(deflectors)
    params |= {name: 0 * value for name, value in params.items() if name.startswith("a")}
    leaves = [value.clone().requires_grad_() for value in params.values()]

    def everything(*values):
        named = dict(zip(deflectors.names, values, strict=True))
        alpha, jacobian = deflectors.deflection_jacobian(named, *(v[:2, :3] for v in grid))
        by_lens = deflectors.lens(named).deflection(*(v[:2, :3] for v in grid))
        shape = (2, 3)
        maps = [v.expand(shape) for pair in (alpha, by_lens, *jacobian.values()) for v in pair]
        return torch.stack(maps)

    assert torch.autograd.gradcheck(everything, leaves, atol=1e-6, rtol=1e-5)


def test_a_ray_at_the_centre_does_not_constrain_the_centre():
    deflectors = CASES["all multipoles"]
    params = params_of(deflectors)
    offset = PARAMS["theta_E"] * torch.tensor([[0.0, 0.9e-4, 1.1e-4]], dtype=torch.float64)
    x, y = PARAMS["center_x"] + offset, PARAMS["center_y"] + 0 * offset
    _, jacobian = deflectors.deflection_jacobian(params, x, y)
    for name in ("center_x", "center_y"):
        largest = torch.stack(torch.broadcast_tensors(*jacobian[name])).abs().amax(0)
        assert (largest == 0).tolist() == [[True, True, False]]
    assert all(v.isfinite().all() for pair in jacobian.values() for v in pair)


def test_names_and_ranges_are_those_of_a_scene_of_one_sersic_source():
    scene, deflectors = LensScene("EPL"), CASES["EPL"]
    assert scene.names[: len(deflectors.names)] == deflectors.names
    assert all(scene.ranges[name] == known for name, known in deflectors.ranges.items())


@pytest.mark.parametrize("axis", ["x", "y"])
def test_ranges_tell_which_parameters_a_mirror_image_turns_round(axis):
    deflectors = CASES["all multipoles"]
    x, y = pixel_grid((6, 5), 0.3, dtype=torch.float64)
    params = params_of(deflectors)
    turned = {
        name: -value if axis in deflectors.ranges[name].odd else value
        for name, value in params.items()
    }
    side, sign = (-1, (-1, 1)) if axis == "x" else (-2, (1, -1))
    mirrored = [v.flip(side) for v in deflectors.lens(params).deflection(x, y)]
    found = deflectors.lens(turned).deflection(x, y)
    for value, expected, factor in zip(found, mirrored, sign, strict=True):
        torch.testing.assert_close(value, factor * expected, rtol=0, atol=1e-12)


def test_a_multipole_starts_from_none_and_stays_within_a_fifth_of_a_small_ring():
    ranges = CASES["all multipoles"].ranges
    for name in ("a1_cos", "a3_sin", "a4_cos"):
        assert (ranges[name].start, ranges[name].low, ranges[name].high) == (0.0, -0.05, 0.05)
        assert ranges[name].unit == "half field"


def test_every_image_has_its_own_neighbours(grid):
    theta_E = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    halo = NFW(Rs=2.0, alpha_Rs=theta_E, center_x=-theta_E, center_y=1.0)
    deflectors = Deflectors(neighbours=(SIS(theta_E=0.2, center_x=1.0), halo))
    index = torch.tensor([2, 0, 2])
    params = params_of(deflectors, size=3)
    whole = deflectors.lens(params).deflection(*grid)
    some = deflectors.take(index).lens({k: v[index] for k, v in params.items()}).deflection(*grid)
    for all_of_them, taken in zip(whole, some, strict=True):
        torch.testing.assert_close(taken, all_of_them[index], rtol=0, atol=1e-14)
    assert CASES["neighbour"].take(index) is CASES["neighbour"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multipoles": (2,)}, "of the orders 1, 3, 4, got 2"),
        ({"multipoles": (True,)}, "of the orders 1, 3, 4, got True"),
        ({"multipoles": 3}, "must be a list of orders among 1, 3, 4, got 3"),
        ({"multipoles": (3, 3)}, r"given once each, got \(3, 3\)"),
        ({"neighbours": SIS(theta_E=0.1)}, "must be a list of mass profiles, got SIS"),
        ({"neighbours": [0.3]}, "must be mass profiles such as lp.SIS, got float"),
        ({"mass": "NFW"}, "mass must be one of"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Deflectors(**settings)
