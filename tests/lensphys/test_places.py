"""Maps at single places: coordinates that are numbers or flat lists."""

import numpy as np
import pytest
import torch

import lensphys as lp
from lensphys.parameters import Profile

ROWS = torch.tensor([0.3, 0.1, 0.2]).double()
ELLIPSE = {"e1": 0.1, "e2": -0.05, "center_x": 0.02}
TWO = torch.tensor([1.0, 1.2]).double()
DEFLECTORS = [
    lp.SIE(theta_E=1.1, **ELLIPSE),
    lp.EPL(theta_E=TWO, gamma=1.9, **ELLIPSE),
    lp.NFW(Rs=1.0, alpha_Rs=0.4),
    lp.TNFW(Rs=1.0, alpha_Rs=0.4, r_trunc=2.0),
    lp.Multipole(m=4, a_m=0.1, phi_m=0.2),
    lp.Shear(gamma1=0.1, gamma2=TWO),
    lp.Population(lp.PointMass(theta_E=ROWS, center_x=ROWS)),
    lp.ThinLens([lp.SIE(theta_E=TWO, e1=0.1), lp.Shear(gamma1=0.1, gamma2=0.0)]),
]
LIGHTS = [
    lp.Sersic(amplitude=TWO, R_sersic=0.3, n_sersic=1.0, **ELLIPSE),
    lp.Gaussian(amp=1.0, sigma=0.2),
    lp.Shapelets(amp=np.linspace(0, 1, 10), n_max=3, beta=0.2),
    lp.MultiGaussian(amp=np.ones((2, 3)), sigma=np.ones(3)),
    lp.PixelatedSource(image=np.arange(25.0).reshape(5, 5), pixel_scale=0.1),
]
MAPS = ["potential", "deflection", "hessian", "convergence", "shear"]


def parts(found):
    return [found] if isinstance(found, torch.Tensor) else list(found)


def check(evaluate):
    """Compare a map at places with its values on a grid."""
    at_x, at_y = [0.5, -0.2, 0.9], [0.1, 0.4, -0.7]
    grid = [torch.tensor([row], dtype=torch.float64) for row in (at_x, at_y)]
    expected = parts(evaluate(*grid))
    for places in ((at_x, at_y), (np.array(at_x), np.array(at_y)), (tuple(at_x), at_y)):
        for found, right in zip(parts(evaluate(*places)), expected, strict=True):
            torch.testing.assert_close(found, right[..., 0, :], rtol=1e-12, atol=1e-12)
    for found, right in zip(parts(evaluate(at_x[1], at_y[1])), expected, strict=True):
        torch.testing.assert_close(found, right[..., 0, 1], rtol=1e-12, atol=1e-12)
    for found, right in zip(parts(evaluate(0, [0.1])), parts(evaluate(0.0, 0.1)), strict=True):
        torch.testing.assert_close(found[..., 0], right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("part", DEFLECTORS, ids=lambda part: type(part).__name__)
def test_a_deflector_is_evaluated_at_places(part, name):
    check(getattr(part, name))


@pytest.mark.parametrize("light", LIGHTS, ids=lambda light: type(light).__name__)
def test_a_light_is_evaluated_at_places(light):
    check(light.surface_brightness)


@pytest.mark.parametrize("name", ["ray_trace", "magnification", "jacobian", "fermat_potential"])
def test_a_lens_is_evaluated_at_places(name):
    check(getattr(DEFLECTORS[-1], name))


def test_a_number_takes_the_precision_of_what_stands_beside_it():
    x = torch.tensor([[0.5, 0.2]])
    deflected = lp.SIE(theta_E=1.0).deflection(x, 0.1)
    assert deflected[0].dtype == torch.float32
    assert deflected[0].shape == (1, 2)
    assert lp.SIE(theta_E=1.0).deflection(np.float32(0.5), 0.1)[0].dtype == torch.float64


def test_an_image_is_rendered_on_lists_and_arrays():
    lens, source = DEFLECTORS[0], LIGHTS[1]
    x, y = lp.pixel_grid((3, 4), 0.1, dtype=torch.float64)
    expected = lp.render(lp.ThinLens([lens]), source, x, y)
    for given in ((x.tolist(), y.tolist()), (x.numpy(), y.numpy())):
        torch.testing.assert_close(lp.render(lp.ThinLens([lens]), source, *given), expected)


@pytest.mark.parametrize("part", DEFLECTORS[:-2], ids=lambda part: type(part).__name__)
def test_convergence_and_shear_of_a_profile_are_those_of_a_lens_of_it(part):
    assert isinstance(part, Profile)
    x, y = lp.pixel_grid(6, 0.3, dtype=torch.float64)
    lens = lp.ThinLens([part])
    assert torch.equal(part.convergence(x, y), lens.convergence(x, y))
    assert all(map(torch.equal, part.shear(x, y), lens.shear(x, y)))
