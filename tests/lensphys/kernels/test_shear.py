"""Loop over the rays behind a shear."""

import pytest
import torch

import lensphys as lp
from tests.lensphys.kernels.loops import DTYPES, SIE, B, on_grid, uniform


@pytest.mark.parametrize("shear_of", ["each image", "all images"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sheared_rays_and_their_gradients_are_those_of_torch(dtype, shear_of, by_torch):
    shape = (B,) if shear_of == "each image" else ()
    names = ["gamma1", "gamma2", "ra_0", "dec_0"]
    shear = lp.Shear(
        **{name: uniform(-0.1, 0.1, shape, seed=i).to(dtype) for i, name in enumerate(names)}
    )
    sie = lp.SIE(**{k: v.to(dtype) for k, v in SIE.items()})
    leaves = [getattr(shear, name).requires_grad_() for name in names]
    leaves += [getattr(sie, name).requires_grad_() for name in sie.parameter_names()]
    lens = lp.ThinLens([sie, shear])
    x, y = (v.requires_grad_() for v in on_grid("of all images", dtype))

    def rays():
        beta = lens.ray_trace(x, y)
        total = sum(((i + 1) * b.sin()).sum() for i, b in enumerate(beta))
        return [b.detach() for b in beta], torch.autograd.grad(total, [*leaves, x, y])

    (found, gradients), (expected, others) = rays(), by_torch(rays)
    tolerance = 1e-13 if dtype == torch.float64 else 1e-5
    for ours, theirs in zip([*found, *gradients], [*expected, *others], strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)
    if dtype == torch.float64 and shape:
        small = [leaf.detach()[3:5].requires_grad_() for leaf in leaves[:4]]
        grid = lp.pixel_grid((2, 3), 0.3, dtype=dtype)

        def trace(*values):
            profile = lp.Shear(**dict(zip(names, values, strict=True)))
            return lp.ThinLens([lp.SIS(theta_E=1.0), profile]).ray_trace(*grid)

        assert torch.autograd.gradcheck(trace, small)
        assert torch.autograd.gradgradcheck(trace, small)
