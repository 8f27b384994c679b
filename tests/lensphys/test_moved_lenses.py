"""Lenses that are printed, and moved to another device or precision."""

import numpy as np
import pytest
import torch

import lensphys as lp

TWO = torch.tensor([1.0, 1.2]).double()


def thin():
    masses = lp.Population(
        lp.PointMass(theta_E=torch.full((2, 3), 0.1).double()), mask=torch.ones(2, 3) > 0
    )
    return lp.ThinLens([lp.SIE(theta_E=TWO, e1=0.1), masses], alpha_scale=TWO)


def deep():
    near = torch.tensor([0.3, 0.4]).double()
    return lp.MultiPlane(
        [lp.SIE(theta_E=TWO), lp.SIS(theta_E=0.2), lp.SIS(theta_E=0.3)],
        [near, near, 0.8],
        z_source=2.0,
        cosmology=lp.FlatLambdaCDM(H0=TWO * 70, Om0=0.3),
    )


@pytest.mark.parametrize("make", [thin, deep])
def test_a_lens_goes_to_another_precision_and_back(make):
    lens = make()
    x, y = lp.pixel_grid(5, 0.3, dtype=torch.float64)
    single = lens.to(torch.float32)
    assert single.deflectors[0].theta_E.dtype == torch.float32
    found = single.ray_trace(x.float(), y.float())
    for ours, right in zip(found, lens.ray_trace(x, y), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), right, rtol=1e-5, atol=1e-5)
    again = lens.to("cpu").ray_trace(x, y)
    assert all(map(torch.equal, again, lens.ray_trace(x, y)))
    assert isinstance(lens.deflectors[0].e1, float)


def test_gradients_reach_what_was_moved():
    theta_E = torch.nn.Parameter(torch.tensor(1.0))
    lens = lp.ThinLens([lp.SIE(theta_E=theta_E)]).to(torch.float64)
    lens.deflection(0.5, 0.2)[0].backward()
    assert theta_E.grad is not None


def test_a_light_is_moved_with_all_that_it_holds():
    shapelets = lp.Shapelets(amp=np.ones(10), n_max=3, beta=0.2).to(torch.float32)
    assert shapelets.amp.dtype == torch.float32
    assert shapelets.n_max == 3
    assert lp.PixelatedSource(image=np.ones((4, 4)), pixel_scale=0.1).to(torch.float32).pixel_scale


def test_a_lens_prints_what_it_is_made_of():
    lens = lp.ThinLens([lp.SIS(theta_E=1.2), lp.Shear(gamma1=0.1, gamma2=0.0)])
    assert repr(lens) == (
        "ThinLens([SIS(theta_E=1.2, center_x=0.0, center_y=0.0), "
        "Shear(gamma1=0.1, gamma2=0.0, ra_0=0.0, dec_0=0.0)])"
    )
    assert repr(thin()).endswith("alpha_scale=tensor([1.0000, 1.2000], dtype=torch.float64))")
    assert "Population(PointMass(theta_E=tensor(" in repr(thin())
    assert repr(deep()).startswith("MultiPlane([SIE(theta_E=tensor(")
    assert "z_source=2.0, cosmology=FlatLambdaCDM(H0=tensor(" in repr(deep())
