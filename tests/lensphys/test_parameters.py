"""Profile parameters: what is refused, and how the rest is aligned with a grid."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from lensphys import (
    EPL,
    NIE,
    SIE,
    SIS,
    MassProfile,
    Multipole,
    PointMass,
    Population,
    Sersic,
    Shear,
)
from lensphys.light.base import LightProfile
from lensphys.parameters import align, parameter_fields

VALID = {
    SIE: {"theta_E": 1.2, "e1": 0.1, "e2": -0.2, "center_x": 0.05, "center_y": -0.1},
    SIS: {"theta_E": 1.2, "center_x": 0.05, "center_y": -0.1},
    NIE: {"theta_E": 1.2, "e1": 0.1, "e2": -0.2, "s_scale": 0.1},
    EPL: {"theta_E": 1.2, "gamma": 2.1, "e1": 0.1, "e2": -0.2},
    PointMass: {"theta_E": 0.02, "center_x": 0.5, "center_y": -0.4},
    Shear: {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2},
    Sersic: {"amplitude": 20.0, "R_sersic": 0.25, "n_sersic": 1.0, "e1": -0.1, "e2": 0.1},
}
EVERY_PARAMETER = [(cls, field.name) for cls in VALID for field in dataclasses.fields(cls)]
OUT_OF_RANGE = [
    (SIE, "theta_E", -1e-6),
    (SIS, "theta_E", -0.1),
    (NIE, "theta_E", -0.1),
    (NIE, "s_scale", 0.0),
    (EPL, "theta_E", -0.1),
    (EPL, "gamma", 1.04),
    (EPL, "gamma", 2.96),
    (PointMass, "theta_E", -0.1),
    (Sersic, "amplitude", -1.0),
    (Sersic, "R_sersic", 0.0),
    (Sersic, "R_sersic", -0.2),
    (Sersic, "n_sersic", 0.29),
    (Sersic, "n_sersic", 10.1),
]
TOO_FLAT = [(1.0, 0.0), (0.0, -1.0), (0.8, 0.7), (-3.0, 0.0), (1.0 - 1e-9, 0.0)]


@pytest.fixture(params=["a number", "a tensor", "one of a batch"])
def given_as(request):
    """A bad value may come as a number, as a tensor, or hide among good ones."""

    def convert(bad, good):
        if request.param == "a number":
            return bad
        return torch.tensor(bad if request.param == "a tensor" else [good, bad, good])

    return convert


def build(cls, **changed):
    return cls(**(VALID[cls] | changed))


@pytest.mark.parametrize(("cls", "name", "bad"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_name(cls, name, bad, given_as):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        build(cls, **{name: given_as(bad, VALID[cls][name])})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("cls", "name"), EVERY_PARAMETER)
def test_a_value_that_is_not_finite_is_refused_by_name(cls, name, bad, given_as):
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        build(cls, **{name: given_as(bad, VALID[cls].get(name, 0.0))})


@pytest.mark.parametrize("bad", TOO_FLAT)
@pytest.mark.parametrize("cls", [SIE, NIE, EPL, Sersic])
def test_an_axis_ratio_of_zero_or_less_is_refused(cls, bad, given_as):
    e1, e2 = (given_as(value, 0.0) for value in bad)
    with pytest.raises(ValueError, match=r"^e1\^2 \+ e2\^2 must be finite and in \[0, 0.9999\]"):
        build(cls, e1=e1, e2=e2)


@pytest.mark.parametrize("bad", [None, "1.2", True, [[1.0], [1.0, 2.0]]])
@pytest.mark.parametrize(("cls", "name"), EVERY_PARAMETER)
def test_what_is_no_number_is_refused_by_name(cls, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be a number or a tensor, got "):
        build(cls, **{name: bad})


@pytest.mark.parametrize("bad", [torch.tensor(True), torch.tensor(1j)])
@pytest.mark.parametrize(("cls", "name"), EVERY_PARAMETER)
def test_a_tensor_of_something_else_than_real_numbers_is_refused_by_name(cls, name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be a number or a tensor of real ones, got"):
        build(cls, **{name: bad})


@pytest.mark.parametrize("number", [np.float32(1.5), np.float64(1.5), np.int64(2)])
def test_a_number_of_numpys_is_a_number(number, grid):
    found, expected = (SIE(theta_E=v).deflection(*grid) for v in (number, float(number)))
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("bad", [torch.ones(2, 3, dtype=torch.long), "1", True, None])
@pytest.mark.parametrize("cls", VALID)
def test_positions_that_are_no_real_tensors_are_refused(cls, bad):
    """Whole numbers would round the parameters to whole numbers too."""
    profile = build(cls)
    maps = profile.surface_brightness if isinstance(profile, LightProfile) else profile.deflection
    with pytest.raises(ValueError, match=r"^x must be a tensor of floating-point numbers, got "):
        maps(bad, bad)


def test_the_way_out_that_is_told_for_positions_works():
    with pytest.raises(ValueError, match=r"; torch\.tensor\(numpy\.array\(x, float\)\) is one$"):
        SIE(theta_E=1.0).deflection("1", "2")
    x, y = torch.tensor(np.array(1.0, float)), torch.tensor(np.array(2.0, float))
    assert SIE(theta_E=1.0).deflection(x, y)[0].shape == ()


@pytest.mark.parametrize("cls", VALID)
def test_a_batch_that_does_not_go_with_that_of_the_grid_is_refused(cls):
    name, value = next(iter(VALID[cls].items()))
    profile, x = build(cls, **{name: torch.full((2,), value)}), torch.ones(3, 4, 5)
    maps = profile.surface_brightness if isinstance(profile, LightProfile) else profile.deflection
    with pytest.raises(ValueError, match=rf"{cls.__name__} \(2,\), positions \(3,\)$"):
        maps(x, x)


@pytest.mark.parametrize("cls", VALID)
def test_batches_of_different_lengths_are_refused_by_name(cls):
    first, second = list(VALID[cls])[:2]
    values = {name: torch.full((n,), VALID[cls][name]) for name, n in ((first, 2), (second, 3))}
    with pytest.raises(ValueError, match=rf"{first} \(2,\), {second} \(3,\)"):
        build(cls, **values)


@pytest.mark.parametrize(
    ("cls", "edge"),
    [
        (SIE, {"theta_E": 0.0}),
        (PointMass, {"theta_E": 0.0}),
        (EPL, {"gamma": 1.05}),
        (EPL, {"gamma": 2.95}),
        (SIE, {"theta_E": 1}),
        (SIE, {"e1": 0.9, "e2": 0.0}),
        (Sersic, {"amplitude": 0.0}),
        (Sersic, {"R_sersic": 1e-6}),
        (Sersic, {"n_sersic": 10.0}),
    ],
)
def test_the_edges_of_the_range_belong_to_it(cls, edge):
    build(cls, **edge)
    for dtype in (torch.float32, torch.float64):
        build(cls, **{name: torch.tensor([value], dtype=dtype) for name, value in edge.items()})


def test_a_field_that_is_no_parameter_is_neither_checked_nor_aligned(grid):
    profile = Multipole(m=3, a_m=torch.tensor([0.1, 0.2]), phi_m=0.3)
    names = [field.name for field in parameter_fields(profile)]
    assert names == ["a_m", "phi_m", "center_x", "center_y", "r_E"]
    assert list(profile.align(grid[0])) == names
    assert Population(profile).deflection(*grid)[0].shape == grid[0].shape


@pytest.mark.parametrize("m", [0, -3, 2.0, True, "3", torch.tensor(3)])
def test_a_multipole_has_a_whole_order(m):
    with pytest.raises(ValueError, match=r"^m must be a whole number from 1 on, got "):
        Multipole(m=m, a_m=0.1, phi_m=0.3)


@pytest.mark.parametrize(
    ("name", "bad"), [("a_m", math.nan), ("phi_m", math.inf), ("r_E", 0.0), ("a_m", None)]
)
def test_the_parameters_of_a_multipole_are_checked_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        Multipole(m=4, **({"a_m": 0.1, "phi_m": 0.3} | {name: bad}))


@pytest.mark.parametrize("cls", VALID)
def test_a_profile_does_not_change(cls):
    profile = build(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(profile, dataclasses.fields(cls)[0].name, 0.5)


@pytest.mark.parametrize("cls", VALID)
def test_parameters_are_given_by_name(cls):
    with pytest.raises(TypeError, match="positional"):
        cls(*VALID[cls].values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (0.3, ()),
        (1, ()),
        (torch.tensor(0.3), ()),
        (torch.tensor([0.3, 0.4], dtype=torch.float64), (2, 1, 1)),
        (torch.tensor([1, 2, 3]), (3, 1, 1)),
        (torch.full((2, 4), 0.3), (2, 4, 1, 1)),
    ],
)
def test_a_parameter_takes_the_dtype_of_the_grid_and_two_trailing_axes(value, shape, dtype):
    aligned = align(value, torch.zeros(5, 7, dtype=dtype))
    assert (aligned.shape, aligned.dtype) == (shape, dtype)
    assert torch.equal(aligned.flatten(), torch.as_tensor(value, dtype=dtype).flatten())


def test_alignment_passes_gradients_on():
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    align(value, torch.zeros(3, 3, dtype=torch.float64)).sum().backward()
    assert torch.equal(value.grad, torch.ones(2))


def test_the_checks_stand_aside_inside_function_transforms():
    def deflection(theta_E, e1):
        return SIE(theta_E=theta_E, e1=e1).deflection(torch.ones(2, 2), torch.ones(2, 2))[0]

    batch = torch.tensor([0.1, 0.2])
    assert torch.func.vmap(deflection)(batch, batch).shape == (2, 2, 2)
    assert torch.func.jvp(deflection, (batch, batch), (batch, batch))[1].shape == (2, 2, 2)
    assert torch.func.jacrev(deflection)(batch, batch).shape == (2, 2, 2, 2)


@pytest.mark.parametrize("method", ["potential", "deflection", "hessian"])
def test_a_mass_profile_says_which_quantity_it_lacks(method, grid):
    quantity = {"hessian": "Hessian"}.get(method, method)
    with pytest.raises(TypeError, match=f"MassProfile has no {quantity}"):
        getattr(MassProfile(), method)(*grid)


def test_a_light_profile_says_that_it_lacks_a_surface_brightness(grid):
    with pytest.raises(TypeError, match="LightProfile has no surface brightness"):
        LightProfile().surface_brightness(*grid)


@pytest.mark.parametrize("place", ["banana", "cuda:99"])
def test_a_profile_of_numbers_goes_to_no_place_that_there_is_not(place):
    with pytest.raises((RuntimeError, AssertionError)):
        SIE(theta_E=1.0, e1=0.0, e2=0.0).to(place)
