"""Loop over the deflection of a multipole."""

import pytest
import torch

from lensphys.mass.multipole import CartesianMultipole
from tests.lensphys.kernels.loops import DTYPES, B, on_grid, uniform


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("grid", ["of all images", "of each image"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_deflection_is_that_of_torch(dtype, grid, m, by_torch):
    names = ["a_cos", "a_sin", "center_x", "center_y"]
    columns = {name: uniform(-0.1, 0.1, (B,), seed=i).to(dtype) for i, name in enumerate(names)}
    profile = CartesianMultipole(m=m, **columns)
    x, y = on_grid(grid, dtype)
    found, expected = profile.deflection(x, y), by_torch(lambda: profile.deflection(x, y))
    tolerance = 1e-14 if dtype == torch.float64 else 1e-6
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_the_centre_is_not_deflected_and_has_no_nan():
    x = torch.zeros(1, 1, dtype=torch.float64)
    alpha = CartesianMultipole(m=3, a_cos=0.1, a_sin=0.0).deflection(x, x)
    assert torch.stack(alpha).isfinite().all()
