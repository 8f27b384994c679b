"""Populations in blocks: the same sum and gradients, bounded memory, and members left out."""

import math
import subprocess
import sys

import pytest
import torch

from lensphys import SIE, TNFW, PointMass, Population
from lensphys.mass import population as module

B, K = 3, 7

METHODS = ["potential", "deflection", "hessian"]

RANGES = {
    "Rs": (0.05, 0.3),
    "alpha_Rs": (0.01, 0.1),
    "r_trunc": (0.1, 1.0),
    "center_x": (-0.9, 0.9),
    "center_y": (-0.6, 0.6),
}


def halos(*shape, grad=False):
    generator = torch.Generator().manual_seed(5)
    return {
        name: (low + (high - low) * torch.rand(shape, generator=generator).double()).requires_grad_(
            grad
        )
        for name, (low, high) in RANGES.items()
    }


def maps(profile, method, x, y):
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


def gradients(profile, parameters, method, x, y):
    """Values, and the gradient of a sum that no symmetry makes vanish."""
    found = maps(profile, method, x, y)
    total = sum(
        (k + 1) * (m * torch.linspace(0.5, 1.5, m.numel()).double().view(m.shape)).sum()
        for k, m in enumerate(found)
    )
    return found, torch.autograd.grad(total, list(parameters.values()))


@pytest.fixture
def small_blocks(monkeypatch):
    """So that a small test is cut into blocks of images and of deflectors."""
    for name in module._BLOCK:
        monkeypatch.setitem(module._BLOCK, name, 640)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("images", ["(K,)", "(B, K)", "(1, K)", "positions by image"])
def test_gradients_do_not_depend_on_the_blocks(images, chunk, method, grid, small_blocks):
    shape = {"(K,)": (K,), "(1, K)": (1, K)}.get(images, (B, K))
    parameters = halos(*shape, grad=True)
    if images == "positions by image":
        parameters["Rs"] = torch.full((K,), 0.2).double().requires_grad_()
        parameters["r_trunc"] = torch.full((B, 1), 0.3).double().requires_grad_()
        parameters["alpha_Rs"] = torch.tensor(0.1).double().requires_grad_()
    x, y = (v.clone().requires_grad_() for v in grid)
    leaves = parameters | {"x": x, "y": y}
    expected = gradients(Population(TNFW(**parameters), chunk=100), leaves, method, x, y)
    found = gradients(Population(TNFW(**parameters), chunk=chunk), leaves, method, x, y)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_gradients_pass_to_a_grid_of_each_image(grid, small_blocks):
    parameters = halos(B, K, grad=True)
    x, y = (torch.stack([v, v + 0.01, 2 * v]).requires_grad_() for v in grid)
    leaves = parameters | {"x": x, "y": y}
    expected = gradients(Population(TNFW(**parameters), chunk=100), leaves, "deflection", x, y)
    found = gradients(Population(TNFW(**parameters)), leaves, "deflection", x, y)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_gradients_can_be_differentiated_again(grid, small_blocks):
    theta_E = torch.tensor([[0.3, 0.2, 0.1], [0.1, 0.4, 0.2]]).double().requires_grad_()
    centre = torch.tensor([0.02, -0.5, 0.4]).double().requires_grad_()

    def deflection(theta_E, centre):
        return Population(PointMass(theta_E=theta_E, center_x=centre)).deflection(*grid)

    assert torch.autograd.gradcheck(deflection, (theta_E, centre), atol=1e-6)
    assert torch.autograd.gradgradcheck(deflection, (theta_E, centre), atol=1e-5)


MASKS = {
    "of each image": torch.tensor([[1, 0, 1, 1, 0, 1, 1], [0] * 7, [1] * 7]).bool(),
    "of all images": torch.tensor([1, 0, 1, 1, 0, 1, 1]).bool(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("cls", [TNFW, PointMass, SIE])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masked_members_are_as_if_they_were_not_there(mask, cls, chunk, method, grid):
    named = halos(B, K)
    if cls is not TNFW:
        named = {"theta_E": named["alpha_Rs"]} | {k: v for k, v in named.items() if "cent" in k}
    found = maps(Population(cls(**named), chunk=chunk, mask=mask), method, *grid)
    for image in range(B):
        shown = mask.expand(B, K)[image]
        kept = {name: value[image, shown] for name, value in named.items()}
        expected = maps(Population(cls(**kept)), method, *grid)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours[image], theirs, rtol=1e-12, atol=1e-14)
    if mask.ndim == 2:
        assert all((component[1] == 0).all() for component in found)


@pytest.mark.parametrize("cls", [PointMass, TNFW])
@pytest.mark.parametrize("chunk", [2, None])
def test_masked_members_receive_no_gradient_even_where_it_is_not_finite(cls, chunk, grid):
    parameters = halos(B, K, grad=True)
    if cls is PointMass:
        parameters = {"theta_E": parameters["Rs"], "center_x": parameters["center_x"]}
    mask = MASKS["of each image"]
    with torch.no_grad():  # past the checks: a padding that overflows
        profile = cls(**parameters)
        parameters["center_x"][~mask] = math.nan
    found, each = gradients(Population(profile, chunk, mask), parameters, "deflection", *grid)
    assert all(torch.isfinite(component).all() for component in found)
    for gradient in each:
        assert (gradient[~mask] == 0).all()
        assert torch.isfinite(gradient).all()
        assert (gradient[mask] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_in_one_loop_leaves_masked_masses_out(dtype, grid):
    x, y = (v.to(dtype) for v in grid)
    named = {k: v.to(dtype) for k, v in halos(K).items() if "cent" in k}
    profile = PointMass(theta_E=torch.full((K,), 0.3, dtype=dtype), **named)
    mask = MASKS["of each image"]
    found = profile.sum_deflections(x, y, mask)
    x.requires_grad_()
    expected = Population(profile, mask=mask).deflection(x, y)
    assert found is not None
    assert found[0].shape == (B, 5, 7)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (found[0][1] == 0).all()


def test_a_transform_of_something_else_leaves_the_gradients_of_blocks_alone(grid):
    leaf = torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    center = torch.linspace(-1, 1, 4, dtype=torch.float64)
    population = Population(PointMass(theta_E=leaf, center_x=center), chunk=2)

    def total(factor):
        return factor * population.deflection(*grid)[0].square().sum()

    factors = torch.tensor([1.0, 2.0], dtype=torch.float64)
    together = torch.autograd.grad(torch.func.vmap(total)(factors).sum(), leaf)[0]
    expected = torch.autograd.grad(total(factors.sum()), leaf)[0]
    torch.testing.assert_close(together, expected, rtol=1e-12, atol=0)


def test_transforms_of_torch_func_pass_through_a_masked_population(grid):
    parameters, mask = halos(B, K), MASKS["of each image"]

    def total(alpha_Rs):
        profile = TNFW(**(parameters | {"alpha_Rs": alpha_Rs}))
        return Population(profile, mask=mask).deflection(*grid)[0].square().sum()

    reverse = torch.func.grad(total)(parameters["alpha_Rs"])
    leaf = parameters["alpha_Rs"].clone().requires_grad_()
    torch.testing.assert_close(reverse, torch.autograd.grad(total(leaf), leaf)[0])
    tangent = torch.ones(B, K).double()
    _, forward = torch.func.jvp(total, (parameters["alpha_Rs"],), (tangent,))
    torch.testing.assert_close(forward, reverse.sum())

    def one(alpha_Rs, mask):
        profile = PointMass(theta_E=alpha_Rs)
        return Population(profile, mask=mask).deflection(*grid)[0]

    batch = torch.func.vmap(one)(parameters["alpha_Rs"], mask)
    expected = Population(PointMass(theta_E=parameters["alpha_Rs"]), mask=mask).deflection(*grid)
    torch.testing.assert_close(batch, expected[0])


MEMORY = """
import resource, sys, torch
from lensphys import TNFW, Population, pixel_grid
torch.set_num_threads(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def run(images, halos, grad):
    def draw(low, high):
        return (low + (high - low) * torch.rand(images, halos)).requires_grad_(grad)
    profile = TNFW(Rs=draw(.01, .2), alpha_Rs=draw(.001, .01), r_trunc=draw(.05, 1),
                   center_x=draw(-1, 1), center_y=draw(-1, 1))
    alpha = Population(profile).deflection(*pixel_grid(64, 0.05))
    if grad:
        sum(a.square().sum() for a in alpha).backward()
run(1, 2, True)
before = peak()
run(16, 100, sys.argv[1] == "True")
print(peak() - before)
"""


@pytest.mark.parametrize(("grad", "bound"), [(False, 60), (True, 250)])
def test_memory_does_not_grow_with_the_number_of_members(grad, bound):
    # One map of all members of all images is 26 MB, and a gradient remembers some 90 of them.
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(grad)], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < bound


@pytest.mark.parametrize("chunk", [0, -1, 1.5, "2"])
def test_a_chunk_is_a_whole_number_of_members(chunk):
    with pytest.raises(ValueError, match="chunk must be at least 1, a whole number or None"):
        Population(PointMass(theta_E=torch.ones(3)), chunk=chunk)


BAD_MASKS = {
    "of other length": torch.ones(2).bool(),
    "of length one": torch.ones(1).bool(),
    "of another batch": torch.ones(4, 3).bool(),
    "without an axis": torch.tensor(True),
    "of numbers": torch.ones(3),
    "a list": [True, True, False],
}


@pytest.mark.parametrize("mask", BAD_MASKS.values(), ids=BAD_MASKS)
def test_a_mask_that_does_not_go_with_the_parameters_is_refused(mask):
    with pytest.raises(ValueError, match=r"^mask must "):
        Population(PointMass(theta_E=torch.ones(2, 3)), mask=mask)


def test_a_population_is_one_profile_and_of_the_batch_of_the_grid():
    with pytest.raises(ValueError, match=r"^profile must be one mass profile"):
        Population([PointMass(theta_E=1.0)])
    x = torch.zeros(3, 4, 4)
    with pytest.raises(ValueError, match=r"the population \(2,\), positions \(3,\)"):
        Population(PointMass(theta_E=torch.ones(2, 5))).deflection(x, x)
