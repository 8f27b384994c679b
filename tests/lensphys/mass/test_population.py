"""Populations: the sum of their deflectors, in every shape of parameters and grid."""

import pytest
import torch

from lensphys import SIE, PointMass, Population, Shear
from tests.lensphys.mass.populations import (
    B,
    K,
    assert_maps_close,
    each_shape,
    random_parameters,
    sum_of_single_ones,
)
from tests.lensphys.mass.profiles import each_method, maps


@each_method
@each_shape
@pytest.mark.parametrize("chunk", [2, 16])
@pytest.mark.parametrize("cls", [PointMass, SIE])
def test_a_population_is_the_sum_of_its_deflectors(cls, chunk, shapes, method, grid):
    parameters = random_parameters(shapes)
    found = maps(Population(cls(**parameters), chunk=chunk), method, *grid)
    assert_maps_close(found, sum_of_single_ones(cls, parameters, method, *grid), 1e-13)


@each_method
@pytest.mark.parametrize("name", ["gamma1", "gamma2", "ra_0", "dec_0"])
def test_a_population_of_shears_is_the_sum_of_its_shears(name, method, grid):
    parameters = {"gamma1": 0.05, "gamma2": -0.03, "ra_0": 0.1, "dec_0": 0.2}
    parameters[name] = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    found = maps(Population(Shear(**parameters)), method, *grid)
    assert_maps_close(found, sum_of_single_ones(Shear, parameters, method, *grid), 1e-13)


@pytest.mark.parametrize("name", ["theta_E", "center_x", "center_y"])
@pytest.mark.parametrize("mode", ["torch.func.jvp", "dual numbers"])
def test_forward_derivatives_of_a_population_are_its_backward_ones(mode, name, grid):
    parameters = random_parameters(((K,), (K,), (K,)))
    tangent = torch.linspace(-1, 1, K, dtype=torch.float64)

    def deflection(value):
        return torch.stack(Population(PointMass(**(parameters | {name: value}))).deflection(*grid))

    if mode == "torch.func.jvp":
        _, forward = torch.func.jvp(deflection, (parameters[name],), (tangent,))
    else:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(parameters[name], tangent)
            forward = torch.autograd.forward_ad.unpack_dual(deflection(dual)).tangent
    backward = torch.autograd.functional.jacobian(deflection, parameters[name]) @ tangent
    assert forward is not None
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-13)


@each_method
def test_vmap_over_populations_is_a_batch_of_them(method, grid):
    parameters = random_parameters(((B, K), (B, K), (B, K)))

    def evaluate(*values):
        one = dict(zip(parameters, values, strict=True))
        return maps(Population(PointMass(**one)), method, *grid)

    found = torch.func.vmap(evaluate)(*parameters.values())
    assert_maps_close(found, maps(Population(PointMass(**parameters)), method, *grid), 1e-13)


@each_method
@pytest.mark.parametrize("shapes", [((K,), (K,), (K,)), ((B, K), (B, K), (B, K))])
def test_deflectors_of_zero_mass_add_nothing(shapes, method, grid):
    parameters = random_parameters(shapes)
    # Padded with masses on the central pixel, where a point mass is singular.
    padded = {k: torch.cat([v, v.new_zeros(*v.shape[:-1], 3)], -1) for k, v in parameters.items()}
    found = maps(Population(PointMass(**padded)), method, *grid)
    assert_maps_close(found, maps(Population(PointMass(**parameters)), method, *grid), 1e-15)


@each_method
@pytest.mark.parametrize(("shape", "expected"), [((0,), (5, 7)), ((B, 0), (B, 5, 7))])
def test_a_population_without_deflectors_does_nothing(shape, expected, method, grid):
    empty = torch.zeros(shape, dtype=torch.float64)
    population = Population(PointMass(theta_E=empty, center_x=empty, center_y=empty))
    for found in maps(population, method, *grid):
        assert found.shape == expected
        assert (found == 0).all()


@each_method
@pytest.mark.parametrize("shapes", [((K,), (K,), (K,)), ((B, K), (B, K), (B, K))])
def test_a_population_is_seen_on_a_grid_of_each_image(shapes, method, grid):
    x, y = grid
    grids = torch.stack([x, 2 * x]), torch.stack([y, y - 0.2])
    parameters = random_parameters(shapes)
    together = maps(Population(PointMass(**parameters), chunk=2), method, *grids)
    for image in range(B):
        alone = maps(Population(PointMass(**parameters)), method, grids[0][image], grids[1][image])
        alone = [a[image] if len(shapes[0]) == 2 else a for a in alone]
        assert_maps_close([found[image] for found in together], alone, 1e-13)


def test_a_population_needs_something_to_sum_over():
    with pytest.raises(ValueError, match=r"parameters of shape \(B, K\) or \(K,\)"):
        Population(PointMass(theta_E=0.1))
    with pytest.raises(ValueError, match=r"parameters of shape \(B, K\) or \(K,\)"):
        Population(PointMass(theta_E=torch.tensor(0.1)))


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_population_is_summed_in_chunks_of_at_least_one(chunk):
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        Population(PointMass(theta_E=torch.ones(3)), chunk=chunk)
