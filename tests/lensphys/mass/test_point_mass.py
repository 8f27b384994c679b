"""Point mass, and the sum over many of them in one loop."""

import math

import pytest
import torch

from lensphys import PointMass, Population, pixel_grid
from tests.lensphys.mass.populations import B, K, assert_maps_close, each_shape, random_parameters


def test_a_point_mass_has_no_convergence_but_a_mass(grid):
    profile = PointMass(theta_E=0.7, center_x=0.02, center_y=0.05)
    psi_xx, _, psi_yy = profile.hessian(*grid)
    assert torch.equal(psi_xx, -psi_yy)
    t = torch.arange(256, dtype=torch.float64)[None] * (2 * math.pi / 256)
    alpha_x, alpha_y = profile.deflection(torch.cos(t), torch.sin(t))
    outflow = (alpha_x * torch.cos(t) + alpha_y * torch.sin(t)).mean().item() * 2 * math.pi
    assert outflow / 2 == pytest.approx(math.pi * 0.7**2, rel=1e-12)


def test_a_point_mass_does_not_deflect_at_its_very_centre():
    centre = torch.full((1, 1), 0.25, dtype=torch.float64)
    profile = PointMass(theta_E=0.7, center_x=0.25, center_y=0.25)
    assert profile.deflection(centre, centre) == (0, 0)


@each_shape
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("shape", [(37, 41), (3, 5), (1, 1)])
def test_the_sum_in_one_loop_is_the_generic_sum(shape, dtype, precision, shapes):
    x, y = pixel_grid(shape, 0.05, dtype=dtype)
    in_one_loop = PointMass(**random_parameters(shapes, dtype))
    generic = PointMass(**random_parameters(shapes, dtype))
    x_generic = x.clone().requires_grad_()
    assert in_one_loop.sum_deflections(x, y) is not None
    assert generic.sum_deflections(x_generic, y) is None

    found = Population(in_one_loop).deflection(x, y)
    expected = Population(generic).deflection(x_generic, y)
    assert all(alpha.dtype == dtype for alpha in found)
    assert_maps_close(found, [alpha.detach() for alpha in expected], precision)


@pytest.mark.parametrize("name", ["theta_E", "center_x", "center_y"])
def test_the_sum_in_one_loop_stands_aside_for_the_gradient_of_any_parameter(name, grid):
    parameters = random_parameters(((K,), (K,), (K,)))
    parameters[name].requires_grad_()
    assert PointMass(**parameters).sum_deflections(*grid) is None
    with torch.no_grad():
        in_one_loop = Population(PointMass(**parameters)).deflection(*grid)
        assert PointMass(**parameters).sum_deflections(*grid) is not None
    assert_maps_close(in_one_loop, Population(PointMass(**parameters)).deflection(*grid), 1e-14)


def test_the_sum_in_one_loop_reads_grids_and_parameters_that_are_views(grid):
    parameters = random_parameters(((B, K), (B, K), (B, K)))
    strided = {k: v.repeat_interleave(2, -1)[:, ::2] for k, v in parameters.items()}
    x, y = (v.T.contiguous().T for v in grid)
    assert not x.is_contiguous()
    found = Population(PointMass(**strided)).deflection(x, y)
    assert_maps_close(found, Population(PointMass(**parameters)).deflection(*grid), 1e-15)


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_sum_in_one_loop_does_not_depend_on_the_number_of_threads(threads, images, grid):
    parameters = random_parameters(((images, K), (images, K), (images, K)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = Population(PointMass(**parameters)).deflection(*grid)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for image in range(images):
        one = PointMass(**{k: v[image] for k, v in parameters.items()})
        alone = Population(one).deflection(*grid)
        assert all(torch.equal(a[image], b) for a, b in zip(found, alone, strict=True))


def test_the_sum_in_one_loop_has_no_deflection_at_the_very_centre_of_a_mass(grid):
    zero = torch.zeros(1)
    on_a_pixel = PointMass(theta_E=torch.tensor([0.3]), center_x=zero, center_y=zero)
    alpha_x, alpha_y = Population(on_a_pixel).deflection(*grid)
    assert (alpha_x[2, 3], alpha_y[2, 3]) == (0, 0)
