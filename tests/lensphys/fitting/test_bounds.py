"""Bounds of fits: ranges of parameters, and coordinates that stay inside them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensphys.fitting.bounds import EDGE, Bounds
from lensphys.fitting.scene import LensScene

SCENE = LensScene("EPL", lens_light=True)

NAMES, RANGES = SCENE.names, SCENE.ranges

HALF_FIELD = 2.5

PEAK = torch.tensor([3.0, 40.0], dtype=torch.float64)

EVERY = torch.arange(2)


def bounds(**overrides):
    return Bounds(RANGES, HALF_FIELD, PEAK, overrides)


def column(table, name):
    return table[:, NAMES.index(name)]


def coordinates(seed=1):
    """Coordinates ``(2, P)`` spread over all that a fit may reach."""
    uniform = torch.rand(2, len(NAMES), generator=torch.Generator().manual_seed(seed)).double()
    return EDGE * (2 * uniform - 1)


def test_parameters_stay_inside_however_far_a_coordinate_goes():
    limits = bounds()
    for far in (-EDGE, EDGE):
        params, slope = limits.forward(torch.full((2, len(NAMES)), far).double(), EVERY)
        assert (params > limits.low).all()
        assert (params < limits.high).all()
        assert (slope > 0).all()


def test_coordinates_at_the_edge_are_1e_4_of_the_range_away_from_the_bound():
    limits = bounds(theta_E=(1.0, 2.0), e1=(-0.1, 0.3))
    params, _ = limits.forward(torch.full((2, len(NAMES)), EDGE).double(), EVERY)
    assert 0.3 - column(params, "e1")[0].item() == pytest.approx(0.4 * math.exp(-EDGE), rel=1e-3)
    below = math.log(2.0) - column(params, "theta_E")[0].log().item()
    assert below == pytest.approx(math.log(2) * math.exp(-EDGE), rel=1e-3)
    assert math.exp(-EDGE) < 1.3e-4


def test_the_inverse_undoes_the_transformation():
    # As far out as starting values are left where they are.
    limits, z = bounds(), 0.75 * coordinates()
    params, _ = limits.forward(z, EVERY)
    torch.testing.assert_close(limits.inverse(params, EVERY), z, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_slope_is_the_derivative(seed):
    z = coordinates(seed).requires_grad_()
    params, slope = bounds().forward(z, EVERY)
    (expected,) = torch.autograd.grad(params.sum(), z)
    torch.testing.assert_close(slope.detach(), expected, rtol=1e-9, atol=0)


def test_the_slope_keeps_its_digits_in_float32():
    z = torch.linspace(-EDGE, EDGE, 101)[:, None].expand(-1, len(NAMES))
    narrow = Bounds(RANGES, HALF_FIELD, PEAK.float(), {}).forward(z, torch.zeros(101).long())
    wide = bounds().forward(z.double(), torch.zeros(101).long())
    for found, expected in zip(narrow, wide, strict=True):
        # The range of an amplitude spans ten decades, so its logarithm costs a digit.
        torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=1e-7)


def test_ranges_follow_the_field_of_view_and_the_brightness_of_the_image():
    narrow, wide = bounds(), Bounds(RANGES, 2 * HALF_FIELD, 10 * PEAK, {})
    for name in ("theta_E", "center_x", "source_R_sersic", "lens_light_center_y"):
        torch.testing.assert_close(column(wide.high, name), 2 * column(narrow.high, name))
    for name in ("source_amplitude", "lens_light_amplitude"):
        torch.testing.assert_close(column(wide.low, name), 10 * column(narrow.low, name))
        torch.testing.assert_close(
            column(narrow.low, name)[1] / column(narrow.low, name)[0], PEAK[1] / PEAK[0]
        )
    for name in ("gamma", "e1", "gamma2", "source_n_sersic"):
        assert torch.equal(column(wide.high, name), column(narrow.high, name))


def test_every_image_has_the_bounds_of_its_index():
    z = coordinates()
    params, _ = bounds().forward(z, EVERY)
    turned, _ = bounds().forward(z.flip(0), EVERY.flip(0))
    assert torch.equal(turned.flip(0), params)


def test_given_bounds_replace_those_of_that_parameter_alone():
    default, changed = bounds(), bounds(source_e1=(-0.1, 0.2), lens_light_amplitude=(0.5, 0.7))
    assert column(changed.low, "source_e1").tolist() == [-0.1, -0.1]
    assert column(changed.high, "lens_light_amplitude").tolist() == [0.7, 0.7]
    for name in NAMES:
        if name not in ("source_e1", "lens_light_amplitude"):
            assert torch.equal(column(default.low, name), column(changed.low, name))
            assert torch.equal(column(default.high, name), column(changed.high, name))


@pytest.mark.parametrize(("value", "expected"), [(-5.0, 1.0), (0.0, 1.0), (1e6, 2.0), (1.5, 1.5)])
def test_values_out_of_bounds_are_moved_inside(value, expected):
    limits = bounds(theta_E=(1.0, 2.0))
    params, _ = limits.forward(torch.zeros(2, len(NAMES)).double(), EVERY)
    params[:, NAMES.index("theta_E")] = value
    z = limits.inverse(params, EVERY)
    assert (z.abs() < EDGE).all()
    moved = column(limits.forward(z, EVERY)[0], "theta_E")
    assert moved.tolist() == pytest.approx([expected] * 2, rel=1e-3)


def test_values_near_a_bound_stay_where_they_are():
    limits = bounds(e1=(-0.1, 0.3))
    z = torch.full((2, len(NAMES)), 0.95 * EDGE).double()
    params, _ = limits.forward(z, EVERY)
    torch.testing.assert_close(limits.inverse(params, EVERY), z, rtol=1e-6, atol=0)


def test_a_parameter_is_held_where_it_would_leave_its_range():
    signs = {"theta_E": (-1, -1), "gamma": (-1, 1), "e1": (1, 1), "e2": (1, -1), "center_x": (0, 5)}
    z, downhill = (torch.zeros(1, len(NAMES)) for _ in range(2))
    for name, (side, pull) in signs.items():
        column(z, name)[:], column(downhill, name)[:] = side * EDGE, pull
    may = bounds().free(z, downhill)
    held = [name for name, free in zip(NAMES, may[0].tolist(), strict=True) if not free]
    assert held == ["theta_E", "e1"]


def test_a_fixed_parameter_has_its_value_whatever_its_coordinate():
    fixed = {"gamma": 2.1, "center_x": torch.tensor([0.1, -0.2], dtype=torch.float64)}
    limits = Bounds(RANGES, HALF_FIELD, PEAK, {}, fixed)
    params, slope = limits.forward(coordinates(), EVERY)
    assert column(params, "gamma").tolist() == [2.1, 2.1]
    assert column(params, "center_x").tolist() == [0.1, -0.2]
    for name in fixed:
        assert not column(slope, name).any()
        assert not column(limits.free(coordinates(), slope), name).any()


def test_further_parameters_are_held_and_those_before_stay():
    limits = Bounds(RANGES, HALF_FIELD, PEAK, {}, {"gamma": 2.1})
    held = limits.hold({"gamma": torch.zeros(2).double(), "e1": torch.tensor([0.25, 0.5]).double()})
    params, slope = held.forward(coordinates(), EVERY)
    assert column(params, "gamma").tolist() == [2.1, 2.1]
    assert column(params, "e1").tolist() == [0.25, 0.5]
    assert not column(slope, "e1").any()
    assert held.held.sum() == 2
    assert limits.held.sum() == 1


def test_single_bounds_are_narrowed_and_never_widened():
    limits = bounds(theta_E=(1.0, 2.0))
    limits.narrow("theta_E", high=torch.tensor([1.5, 3.0]))
    assert column(limits.high, "theta_E").tolist() == [1.5, 2.0]
    limits.narrow("theta_E", low=0.5, high=0.7)
    assert column(limits.low, "theta_E").tolist() == [1.0, 1.0]
    assert column(limits.high, "theta_E").tolist() == [1.5, 2.0]


WRONG = {
    "exchanged": ({"theta_E": (2.0, 1.0)}, r"theta_E must be two finite numbers, low < high"),
    "equal": ({"e1": (0.1, 0.1)}, r"e1 must be two finite numbers, low < high"),
    "infinite": ({"source_center_x": (-1.0, math.inf)}, "source_center_x must be two finite"),
    "not a number": ({"source_e2": (math.nan, 0.3)}, "source_e2 must be two finite"),
    "three": ({"gamma1": (0.0, 0.1, 0.2)}, "gamma1 must be two finite numbers"),
    "one": ({"gamma": 2.0}, "gamma must be two finite numbers"),
    "nothing": ({"gamma": None}, "gamma must be two finite numbers"),
    "no upper one": ({"gamma": (1.5, None)}, "gamma must be two finite numbers"),
    "negative radius": ({"source_R_sersic": (-0.1, 0.3)}, "source_R_sersic must be positive"),
    "no radius": ({"theta_E": (0.0, 2.0)}, "theta_E must be positive"),
    "beyond the slope": ({"gamma": (1.0, 2.5)}, r"gamma must lie within 1\.05 and 2\.95"),
    "beyond the index": ({"source_n_sersic": (0.5, 12.0)}, r"source_n_sersic .* 0\.5 and 10"),
    "no ellipse": ({"lens_light_e2": (-0.9, 0.9)}, r"lens_light_e2 .* -0\.7 and 0\.7"),
    "misspelt": ({"theta_e": (0.5, 1.0)}, "unknown parameter 'theta_e'; did you mean theta_E"),
    "without prefix": ({"R_sersic": (0.1, 1.0)}, "did you mean source_R_sersic"),
    "nothing like it": ({"zzz": (0.1, 1.0)}, "there are theta_E, gamma, e1"),
}


@pytest.mark.parametrize(("overrides", "message"), WRONG.values(), ids=WRONG)
def test_bounds_that_make_no_sense_are_refused_by_name(overrides, message):
    with pytest.raises(ValueError, match=message):
        bounds(**overrides)
