"""Profiles at the ends of their ranges and at all distances, against a hundred digits."""

import functools
import itertools
import math

import pytest
import torch

import lensphys as lp
from lensphys.lengths import LEAST, MOST
from lensphys.mass import MASSES, find_mass
from lensphys.mass.distance import MOST_STEEP
from tests.lensphys.mass.exact import FORMULAS, exact
from tests.lensphys.mass.profiles import DTYPES, METHODS, maps

#: The least length, such that it is not less in float32; slopes below are rounded inwards too.
_SHORT = 1.000001 * LEAST
#: Nothing at all, next to nothing, one and the largest; and, of radii, the least, one, the largest.
_STRENGTHS, _SCALES = (0.0, 1e-12, 1.0, MOST_STEEP), (_SHORT, 1.0, MOST_STEEP)
_ROUND, _FLAT = {"e1": 0.0, "e2": 0.0}, {"e1": -0.6, "e2": 0.7}
_SHAPES = (_ROUND, {"e1": 1e-30, "e2": 0.0}, {"e1": 0.3, "e2": -0.2}, _FLAT)
_SLOPES = (1.0500002, 2.0, 2.9499998)


def _cases():
    yield from (("PointMass", {"theta_E": t}) for t in _STRENGTHS)
    yield from (("SIS", {"theta_E": t}) for t in _STRENGTHS)
    yield from (("SIE", {"theta_E": t} | e) for t in (0.0, 1.0, MOST) for e in _SHAPES)
    for e, gamma in itertools.product(_SHAPES, _SLOPES):
        yield "EPL", {"theta_E": 1.0, "gamma": gamma} | e
    yield from (("EPL", {"theta_E": t, "gamma": g} | _FLAT) for t in (0.0, 10.0) for g in _SLOPES)
    for e, s_scale in itertools.product(_SHAPES, (1e-30, 1e-3, MOST)):
        yield "NIE", {"theta_E": 1.0, "s_scale": s_scale} | e
    yield from (("NFW", {"Rs": r, "alpha_Rs": 1.0}) for r in _SCALES)
    for Rs, r_trunc in itertools.product(_SCALES, (10 * _SHORT, 0.999, 1e4, 1e10, 1e20, 3e38)):
        yield "TNFW", {"Rs": Rs, "alpha_Rs": 1.0, "r_trunc": r_trunc}
    for half_length in (0.0, 1e-30, 1e-6, 1.0, MOST):
        yield "UniformLine", {"theta_E": MOST_STEEP, "half_length": half_length, "phi": 0.3}
    yield from (
        ("Multipole", {"m": 1, "a_m": 0.1, "phi_m": 0.4, "r_E": r}) for r in (_SHORT, 3.0, MOST)
    )
    yield from (("Multipole", {"m": m, "a_m": MOST, "phi_m": 0.4}) for m in (2, 6))
    yield from (("Shear", {"gamma1": g, "gamma2": -0.2}) for g in (0.0, 0.1))
    yield from (("ConvergenceSheet", {"kappa": k}) for k in (0.0, -0.1))


CASES = list(_cases())
#: Distances; nothing but finite numbers is asked for inside of 1e-7 arcsec, within the cores.
_DISTANCES = (0.0, 1e-38, 1e-20, 1e-9, 1e-7, 1e-3, 1.0, 2e6)
_FAR_DISTANCES = (1e9, 1e20, 1e38)
_CORE, _BRIGHT = 0.9e-7, 1e6


def _points(distances):
    """Positions of float32, which float64 holds too: one list of exact values serves both."""
    at = [(r * c, r * s) for r in distances for c, s in ((1.0, 0.0), (-0.6, 0.8))]
    return torch.tensor(at).double()


#: Apart, since positions of one list are evaluated in one precision.
POINTS, FAR_POINTS = _points(_DISTANCES), _points(_FAR_DISTANCES)


def test_every_profile_is_examined():
    named = {name for name, _ in CASES}
    assert named == set(FORMULAS)
    # Those are sums over others, and a map that ends.
    assert named | {"Population", "PixelatedConvergence"} == set(MASSES)


@functools.cache
def _expected(name, parameters, far):
    return [
        exact(name, x, y, dict(parameters)) if math.hypot(x, y) > _CORE else None
        for x, y in (FAR_POINTS if far else POINTS).tolist()
    ]


def _all_maps(deflector, x, y):
    return torch.stack([part for method in METHODS for part in maps(deflector, method, x, y)])


def _leaves(parameters, dtype, *shape):
    def leaf(value):
        return torch.full(shape, value, dtype=dtype, requires_grad=True)

    return {k: v if k == "m" else leaf(v) for k, v in parameters.items()}


def _every_way(name, parameters, points):
    """All maps by loops and by formulas, alone and in a population, and what carries gradients."""
    cls, dtype, (x, y) = find_mass(name), points.dtype, points.T[:, None]
    leaves, members = _leaves(parameters, dtype), _leaves(parameters, dtype, 2)
    mask = torch.tensor([True, False])
    at = x.clone().requires_grad_(), y.clone().requires_grad_()
    yield _all_maps(cls(**leaves), *at), [v for k, v in leaves.items() if k != "m"] + [*at]
    population = lp.Population(cls(**members), mask=mask, chunk=1)
    yield _all_maps(population, *at), [v for k, v in members.items() if k != "m"] + [*at]
    with torch.no_grad():
        yield _all_maps(cls(**parameters), x, y), []
        yield _all_maps(population, x, y), []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_values_are_right_and_gradients_finite(name, parameters, dtype):
    for far in (False, True):
        _assert_right_and_finite(name, parameters, dtype, far)


def _assert_right_and_finite(name, parameters, dtype, far):
    points = FAR_POINTS if far else POINTS
    rounded = {
        k: v if k == "m" else torch.tensor(v, dtype=torch.float32).item()
        for k, v in parameters.items()
    }
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    # What of a squared strength is below the least number of float32 is nothing.
    least, most = 1e-36, torch.finfo(torch.float32).max / 2
    expected = _expected(name, tuple(rounded.items()), far)
    distance = torch.hypot(*points.T)
    for found, leaves in _every_way(name, rounded, points.to(dtype)):
        for point, values in enumerate(expected):
            for part in (slice(0, 1), slice(1, 3), slice(3, 6)):
                here = found[part, 0, point].tolist()
                size = max(map(abs, values[part])) if values else 0
                if size > most:
                    continue
                assert all(map(math.isfinite, here)), (part, distance[point])
                if values:
                    # The potential of a point mass is a logarithm, 0 at 1 arcsec.
                    size += parameters.get("theta_E", 0) ** 2 if part.start == 0 else 0
                    off = max(abs(a - b) for a, b in zip(here, values[part], strict=True))
                    assert off <= tolerance * size + least, (part, distance[point])
        if not leaves:
            continue
        # Potentials far away, and a steep one by the strength that it has not, are too large.
        weight = (distance < 1e30).to(found).expand(found.shape).clone()
        weight[0] *= distance < _BRIGHT
        total = torch.where(weight > 0, found, 0.0).sum()
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        assert all(g is None or torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(
    ("name", "parameters", "bad", "allowed"),
    [
        ("NFW", {"Rs": 1e-30, "alpha_Rs": 1.0}, "Rs", "1e-06, 1000"),
        ("NFW", {"Rs": 1e20, "alpha_Rs": 1.0}, "Rs", "1e-06, 1000"),
        ("TNFW", {"Rs": 1.0, "alpha_Rs": 1.0, "r_trunc": 1e-30}, "r_trunc", "1e-05, inf"),
        ("PointMass", {"theta_E": 1e25}, "theta_E", "0, 1000"),
        ("NIE", {"theta_E": 1.0, "s_scale": 1e25}, "s_scale", "0, 100000"),
        ("UniformLine", {"theta_E": 1.0, "half_length": 1e25}, "half_length", "0, 100000"),
        ("SIS", {"theta_E": 1.0, "center_x": -1e12}, "center_x", r"-1e\+09, 1e\+09"),
        ("Shear", {"gamma1": 0.1, "gamma2": 0.0, "ra_0": 1e12}, "ra_0", r"-1e\+09, 1e\+09"),
    ],
)
def test_a_length_that_no_sky_holds_is_refused_by_name(name, parameters, bad, allowed):
    with pytest.raises(ValueError, match=rf"{bad} must be finite and in .{allowed}"):
        find_mass(name)(**parameters)
