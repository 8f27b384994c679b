"""Physics under autocast: every public function and layer gives what it gives without."""

import ast
import dataclasses
import importlib
import math
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lensphys as lp
from lensphys.light import LIGHTS
from lensphys.mass import MASSES
from lensphys.parameters import parameter_fields
from lensphys.products import gram, product

HALF = (torch.float16, torch.bfloat16)
halves = pytest.mark.parametrize("half", HALF, ids=["float16", "bfloat16"])


class NoHalfPrecision(TorchDispatchMode):
    """Refuse every operation that makes numbers of half precision."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else [result]
        made = [part for part in parts if isinstance(part, torch.Tensor) and part.dtype in HALF]
        assert not made, f"{function} made {made[0].dtype}"
        return result


def profiles():
    """List the registered classes of single profiles."""
    for line in (MASSES | LIGHTS).values():
        module, _, attribute = line.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if hasattr(found, "parameter_names"):
            yield found


def example(cls):
    """Return a profile of any kind with parameters of gradients inside of their ranges."""
    given = {}
    for field in dataclasses.fields(cls):
        if field in parameter_fields(cls):
            low, high = field.metadata["low"], field.metadata["high"]
            ends = math.isfinite(low) and math.isfinite(high)
            value = 0.1 if field.default is not dataclasses.MISSING and not ends else 0.7
            value = (low + high) / 2 if ends and not low < value < high else value
            given[field.name] = torch.tensor([value, 0.9 * value], requires_grad=True)
        elif field.name in ("image", "kappa"):
            given[field.name] = torch.rand(24, 24).requires_grad_()
        elif field.name in ("m", "n_max"):
            given[field.name] = 3
        elif field.name in ("amp", "sigma"):  # an expansion: one value for each function
            given[field.name] = torch.rand(10).requires_grad_()
    if "pixel_scale" in [field.name for field in dataclasses.fields(cls)]:
        given["pixel_scale"] = 0.3
    leaves = [v for v in given.values() if isinstance(v, torch.Tensor)]
    return cls(**given), leaves


def maps_of(profile, x, y):
    for name in ("potential", "deflection", "hessian", "surface_brightness"):
        if not hasattr(profile, name):
            continue
        try:
            found = getattr(profile, name)(x, y)
        except TypeError:  # a sheet of mass may have no potential
            continue
        yield from found if isinstance(found, tuple) else [found]


def same(evaluate, leaves, half, rtol=1e-6):
    """Compare values, types and gradients with and without autocast; all of it without half."""
    expected = evaluate()
    slopes = torch.autograd.grad(sum(v.sum() for v in expected), leaves, allow_unused=True)
    with torch.autocast("cpu", dtype=half), NoHalfPrecision():
        found = evaluate()
        inside = torch.autograd.grad(
            sum(v.sum() for v in found), leaves, allow_unused=True, retain_graph=True
        )
    outside = torch.autograd.grad(sum(v.sum() for v in found), leaves, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=0, equal_nan=True)
    for slope in (inside, outside):
        for a, b in zip(slope, slopes, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=rtol, atol=1e-6 * b.abs().max().item())


@halves
@pytest.mark.parametrize("cls", profiles())
def test_a_registered_profile_takes_no_part_in_autocast(cls, half):
    profile, leaves = example(cls)
    x, y = lp.pixel_grid(12, 0.31)
    same(lambda: list(maps_of(profile, x, y)), leaves, half)


def lens_of(theta_E):
    return lp.ThinLens([lp.SIE(theta_E=theta_E, e1=0.1), lp.Shear(gamma1=0.05, gamma2=0.0)])


SOURCE = lp.Sersic(amplitude=20.0, R_sersic=0.3, n_sersic=1.0, center_x=0.1)
MOFFAT = lp.MoffatPSF(fwhm=0.3, beta=3.0, pixel_scale=0.1)
PSFS = {
    "none": None,
    "narrow Gaussian": lp.GaussianPSF(0.3, 0.1),
    "wide Gaussian": lp.GaussianPSF(1.0, 0.1),
    "Gaussian of finer pixels": lp.GaussianPSF(0.3, 0.05),
    "Moffat": MOFFAT,
    "pixels": lp.PixelPSF(MOFFAT.kernel(), 0.1),
    "finer pixels": lp.PixelPSF(
        lp.MoffatPSF(fwhm=0.3, beta=3.0, pixel_scale=0.05).kernel(), 0.1, supersampling=2
    ),
}


@halves
@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_rendering_takes_no_part_in_autocast(psf, half):
    theta_E = torch.tensor([1.0, 1.2], requires_grad=True)
    x, y = lp.pixel_grid(32, 0.1)
    rays = 2 if psf is not None and psf.pixel_scale == 0.05 else 1
    same(
        lambda: [lp.render(lens_of(theta_E), SOURCE, x, y, psf=psf, supersampling=rays)],
        [theta_E],
        half,
    )


@halves
def test_the_width_of_a_psf_has_its_gradient_under_autocast(half):
    fwhm = torch.tensor(0.7, requires_grad=True)
    beta = torch.tensor(3.0, requires_grad=True)
    image = torch.rand(32, 32)
    psfs = lp.GaussianPSF(fwhm, 0.1), lp.MoffatPSF(fwhm, beta, 0.1, supersampling=3)
    same(lambda: [psf.convolve(image).square() for psf in psfs], [fwhm, beta], half)


@halves
def test_lenses_of_several_planes_and_images_take_no_part_in_autocast(half):
    theta_E = torch.tensor(1.0, requires_grad=True)
    x, y = lp.pixel_grid(16, 0.2)

    def evaluate():
        parts = [lp.SIE(theta_E=theta_E, e1=0.1), lp.NFW(Rs=3.0, alpha_Rs=0.3)]
        cosmology = lp.FlatLambdaCDM(H0=70.0, Om0=0.3)
        planes = lp.MultiPlane(parts, [0.3, 0.5], z_source=1.5, cosmology=cosmology)
        found = lp.image_positions(lens_of(theta_E), 0.05, 0.02, window=4.0)
        return [
            *planes.ray_trace(x, y),
            planes.arrival_time(x, y),
            planes.magnification(x, y),
            found.x,
            found.magnification,
        ]

    same(evaluate, [theta_E], half, rtol=1e-5)


@halves
def test_layers_take_no_part_in_autocast(half):
    theta_E = torch.tensor(1.0, requires_grad=True)
    image = torch.rand(2, 3, 24, 24, requires_grad=True)
    grid = {"pixel_scale": 0.1, "shape": 24}
    source = {"source_pixel_scale": 0.08, "source_shape": 24}
    layers = [
        (lp.RayTrace(**grid), ()),
        (lp.Render(**grid, psf=lp.GaussianPSF(0.9, 0.1)), (SOURCE,)),
    ]
    between = lp.ReLens(**grid, **source), lp.DeLens(**grid, **source)

    def evaluate():
        lens = lens_of(theta_E)
        maps = [module(lens, *others) for module, others in layers]
        maps += [module(image, lens) for module in between]
        return [v for part in maps for v in (part if isinstance(part, tuple) else (part,))]

    same(evaluate, [theta_E, image], half)


@halves
def test_a_fit_takes_no_part_in_autocast(half):
    x, y = lp.pixel_grid(32, 0.1)
    psf = lp.GaussianPSF(0.3, 0.1)
    image = lp.render(lens_of(torch.tensor([1.0])), SOURCE, x, y, psf=psf)
    noise = 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    image = (image + noise).requires_grad_()
    given = {"pixel_scale": 0.1, "psf": psf, "n_starts": 1, "retry_above": math.inf}

    def evaluate():
        found = lp.fit(image, 0.02, **given)
        return [found.params["theta_E"], found.errors["theta_E"], found.model]

    same(evaluate, [image], half, rtol=1e-4)


@halves
def test_what_a_network_gives_in_half_precision_is_computed_in_single(half):
    x, y = lp.pixel_grid(16, 0.1)
    theta_E, image = torch.tensor([1.0, 1.25]).to(half), torch.rand(16, 16).to(half)
    expected = lens_of(theta_E.float()).deflection(x, y)
    torch.testing.assert_close(lens_of(theta_E).deflection(x, y), expected)
    linked = theta_E.clone().requires_grad_()
    found = lens_of(linked).deflection(x, y)
    torch.testing.assert_close(found, expected)
    (slope,) = torch.autograd.grad(sum(v.abs().sum() for v in found), linked)
    assert torch.isfinite(slope).all()
    for psf in PSFS.values():
        if psf is not None:
            torch.testing.assert_close(psf.convolve(image), psf.convolve(image.float()))
    with pytest.raises(ValueError, match="e1"):
        lp.SIE(theta_E=1.0, e1=torch.tensor(1.0, dtype=half))
    with pytest.raises(
        ValueError, match=r"^x must be a tensor .* positions are float32 or float64"
    ):
        lp.SIE(theta_E=1.0).deflection(x.to(half), y.to(half))


@halves
def test_products_of_every_order_of_derivatives_are_in_full_precision(half):
    a, b = torch.rand(3, 8, 8), torch.rand(8, 8)

    def twice(a, b):
        return product(a, b).square().sum()

    def derivatives():
        first = torch.func.grad(twice, (0, 1))(a, b)
        _, forward = torch.func.jvp(twice, (a, b), (b.expand_as(a), b))
        mapped = torch.func.vmap(lambda a: product(a, b))(a)
        leaves = a.clone().requires_grad_(), b.clone().requires_grad_()
        slopes = torch.autograd.grad(twice(*leaves), leaves, create_graph=True)
        again = torch.autograd.grad(sum(s.square().sum() for s in slopes), leaves)
        return [*first, forward, mapped, *slopes, *again]

    expected = derivatives()
    with torch.autocast("cpu", dtype=half):
        found = derivatives()
    for value, other in zip(found, expected, strict=True):
        torch.testing.assert_close(value, other)


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (4,)])
def test_gradients_of_a_product_are_right(shape, check_gradients):
    given = {"a": torch.rand(2, 3, 4), "b": torch.rand(shape)}
    assert torch.equal(product(**given), given["a"] @ given["b"])
    check_gradients(lambda p: product(p["a"], p["b"]), given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 40), (3, 5, 40), (3, 0, 40), (2, 3, 4, 6)])
def test_squares_of_matrices_are_their_products(shape, dtype):
    rows = torch.rand(shape, dtype=dtype)
    expected = rows.double() @ rows.double().mT
    torch.testing.assert_close(gram(rows), expected.to(dtype), rtol=1e-5, atol=1e-6)
    strided = rows.mT.contiguous().mT
    torch.testing.assert_close(gram(strided), expected.to(dtype), rtol=1e-5, atol=1e-6)
    if dtype == torch.float64:
        torch.testing.assert_close(gram(rows), expected, rtol=1e-13, atol=1e-13)
        assert torch.equal(gram(rows), gram(rows).mT)


@halves
def test_squares_of_matrices_have_their_gradients_and_take_no_part_in_autocast(
    half, check_gradients
):
    rows = torch.rand(2, 3, 4)
    check_gradients(lambda p: gram(p["rows"]), {"rows": rows})
    leaf = rows.clone().requires_grad_()
    same(lambda: [gram(leaf), gram(rows)], [leaf], half)
    torch.testing.assert_close(torch.func.vmap(gram)(rows), gram(rows))


def test_a_backward_pass_under_autocast_of_what_was_computed_before_is_in_full_precision():
    theta_E = torch.tensor(1.0, requires_grad=True)
    x, y = lp.pixel_grid(32, 0.1)
    image = lp.render(lens_of(theta_E), SOURCE, x, y, psf=PSFS["wide Gaussian"])
    (expected,) = torch.autograd.grad(image.square().sum(), theta_E, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), NoHalfPrecision():
        (found,) = torch.autograd.grad(image.square().sum(), theta_E)
    assert torch.equal(found, expected)


def test_matrices_are_multiplied_in_one_place():
    """Operations that autocast rounds are called from nowhere else."""
    rounded = {"matmul", "mm", "bmm", "mv", "einsum", "tensordot", "linear", "addmm", "baddbmm"}
    rounded |= {"conv1d", "conv2d", "vecdot", "multi_dot", "inner"}
    package = Path(lp.__file__).parent
    found = [
        f"{path.name}:{node.lineno}"
        for path in package.rglob("*.py")
        if path.name != "products.py" and path.parent.name != "kernels"
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult))
        or (isinstance(node, ast.Attribute) and node.attr in rounded)
    ]
    assert found == []


def test_what_is_rounded_to_half_precision_is_found():
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    with pytest.raises(AssertionError, match="bfloat16"), autocast, NoHalfPrecision():
        torch.ones(2, 2).matmul(torch.ones(2, 2))


@halves
def test_a_population_takes_no_part_in_autocast(half):
    theta_E = torch.full((2, 5), 0.1, requires_grad=True)
    at = torch.linspace(-1, 1, 5)
    x, y = lp.pixel_grid(12, 0.31)

    def evaluate():
        members = lp.Population(lp.SIE(theta_E=theta_E, center_x=at, center_y=-at))
        return [*members.deflection(x, y), *members.hessian(x, y)]

    same(evaluate, [theta_E], half, rtol=1e-5)
