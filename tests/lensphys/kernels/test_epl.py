"""Loop over pixels of the EPL."""

import math

import pytest
import torch

import lensphys as lp
from tests.lensphys.kernels.loops import DTYPES, B, uniform


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("flattest", [0.0, 1e-2, 0.3, 0.9])
def test_a_power_law_is_the_same_with_and_without_its_loop(by_torch, dtype, flattest):
    modulus, phi = uniform(0, flattest, B), uniform(0, 2 * math.pi, B, seed=1)
    parameters = {
        "theta_E": uniform(0, 2, B, seed=2),
        "gamma": uniform(1.06, 2.94, B, seed=3),
        "e1": modulus * torch.cos(phi),
        "e2": modulus * torch.sin(phi),
        "center_x": uniform(-0.1, 0.1, B, seed=4),
        "center_y": uniform(-0.1, 0.1, B, seed=5),
    }
    parameters["theta_E"][0] = 0
    lens = lp.EPL(**{name: value.to(dtype) for name, value in parameters.items()})
    x, y = (v.clone() for v in lp.pixel_grid((30, 20), 0.13, dtype=dtype))
    x[0, 0], y[0, 0] = lens.center_x[1], lens.center_y[1]
    alpha, reference = lens.deflection(x, y), by_torch(lambda: lens.deflection(x, y))
    tolerance = 1e-14 if dtype == torch.float64 else 4e-6
    for one, other in zip(alpha, reference, strict=True):
        assert one.shape == (B, 30, 20)
        assert torch.isfinite(one).all()
        assert ((one - other).abs() <= tolerance * (1 + other.abs())).all()
