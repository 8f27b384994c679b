"""A convergence map: the exact lens of its square pixels, and a smooth lens in between."""

import itertools
import math

import pytest
import torch
from scipy.integrate import dblquad

from lensphys import PixelatedConvergence, PointMass, pixel_grid
from lensphys.mass.pixelated import square_pixel

SCALE = 0.07

METHODS = {
    "potential": [(0, 0)],
    "deflection": [(1, 0), (0, 1)],
    "hessian": [(2, 0), (1, 1), (0, 2)],
}


def random_map(*shape):
    """A map of both signs."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def centres(shape, dtype=torch.float64):
    """Pixel centres of a map around (0.3, -0.2)."""
    x, y = pixel_grid(shape, SCALE, dtype=dtype)
    return x + 0.3, y - 0.2


def lens(kappa, **changed):
    at = {"center_x": 0.3, "center_y": -0.2} | changed
    return PixelatedConvergence(kappa=kappa, pixel_scale=SCALE, **at)


def maps(profile, method, x, y):
    found = getattr(profile, method)(x, y)
    return (found,) if isinstance(found, torch.Tensor) else found


def direct_sum(kappa, method, x, y):
    """Every pixel by itself, in closed form."""
    gx, gy = centres(kappa.shape)
    dx, dy = ((a.reshape(-1, 1) - b.reshape(1, -1)) / SCALE for a, b in ((x, gx), (y, gy)))
    constant = {"potential": math.log(SCALE) / math.pi}.get(method, 0.0)
    power = {"potential": 2, "deflection": 1}.get(method, 0)
    sums = [
        (square_pixel(dx, dy, *order) + constant) @ kappa.flatten() for order in METHODS[method]
    ]
    return [total.reshape(x.shape) * SCALE**power for total in sums]


@pytest.mark.parametrize(("x", "y"), [(0.8, 0.3), (-0.2, 0.1), (2.0, -3.5)])
def test_the_closed_form_of_a_square_is_its_integral(x, y):
    def logarithm(v, u):
        return 0.5 * math.log((x - u) ** 2 + (y - v) ** 2)

    # Cut where the logarithm diverges, if it does.
    us = sorted({-0.5, 0.5, min(max(x, -0.5), 0.5)})
    vs = sorted({-0.5, 0.5, min(max(y, -0.5), 0.5)})
    total = sum(
        dblquad(logarithm, a, b, c, d, epsabs=1e-10)[0]
        for a, b in itertools.pairwise(us)
        for c, d in itertools.pairwise(vs)
    )
    at = torch.tensor([x], dtype=torch.float64), torch.tensor([y], dtype=torch.float64)
    assert square_pixel(*at, 0, 0).item() == pytest.approx(total / math.pi, abs=1e-9)


@pytest.mark.parametrize("order", [(1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2)])
def test_the_derivatives_of_a_square_are_its_derivatives(order):
    x, y = (torch.rand(20, dtype=torch.float64) * 4 - 2 for _ in "xy")
    x, y = x.requires_grad_(), y.requires_grad_()
    p, q = order
    lower = (p - 1, q, x) if p else (p, q - 1, y)
    expected = torch.autograd.grad(square_pixel(x, y, *lower[:2]).sum(), lower[2])[0]
    torch.testing.assert_close(square_pixel(x, y, p, q), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [(20, 31), (1, 1), (1, 9), (40, 40)])
@pytest.mark.parametrize("method", METHODS)
def test_at_the_pixel_centres_it_is_the_sum_of_its_pixels(method, shape):
    kappa = random_map(*shape)
    x, y = centres(shape)
    expected = direct_sum(kappa, method, x, y)
    for found, total in zip(maps(lens(kappa), method, x, y), expected, strict=True):
        torch.testing.assert_close(found, total, rtol=0, atol=1e-12)


def test_the_convergence_comes_back_from_the_hessian():
    kappa = random_map(3, 20, 31)
    psi_xx, _, psi_yy = lens(kappa).hessian(*centres((20, 31)))
    torch.testing.assert_close((psi_xx + psi_yy) / 2, kappa, rtol=0, atol=1e-12)


def test_a_single_pixel_is_a_point_mass_from_afar():
    kappa = torch.zeros(41, 41, dtype=torch.float64)
    kappa[0, 0] = 1.7
    x, y = centres((41, 41))
    theta_E = SCALE * math.sqrt(1.7 / math.pi)
    point = PointMass(theta_E=theta_E, center_x=x[0, 0].item(), center_y=y[0, 0].item())
    for method in METHODS:
        pairs = zip(maps(lens(kappa), method, x, y), maps(point, method, x, y), strict=True)
        for found, expected in pairs:
            torch.testing.assert_close(found[20:, 20:], expected[20:, 20:], rtol=3e-5, atol=1e-10)


def test_a_smooth_halo_on_pixels_deflects_like_itself_everywhere():
    # kappa = (1 - r^2 / a^2)^3 inside of a: m(r) = a^2 / 4 (1 - (1 - r^2 / a^2)^4)
    generator = torch.Generator().manual_seed(6)
    x, y = (torch.rand(40, 40, generator=generator, dtype=torch.float64) * 8 - 4 for _ in "xy")
    a2, r2 = 3.5**2, x * x + y * y
    mean = a2 / 4 * (1 - (1 - r2 / a2).clamp_min(0) ** 4) / r2
    errors = []
    for n in (64, 128):
        gx, gy = pixel_grid(n, 8.4 / n, dtype=torch.float64)
        kappa = (1 - (gx**2 + gy**2) / a2).clamp_min(0) ** 3
        alpha_x, alpha_y = PixelatedConvergence(kappa=kappa, pixel_scale=8.4 / n).deflection(x, y)
        errors.append(torch.hypot(alpha_x - x * mean, alpha_y - y * mean).max().item())
    # A pixel takes the convergence at its centre, not its mean: second order in its size.
    assert errors[1] < 5e-4
    assert errors[1] < 0.3 * errors[0]


def test_deflection_and_hessian_are_derivatives_of_the_potential_in_between_too():
    profile = lens(random_map(8, 9))
    x, y = ((torch.rand(15, 15, dtype=torch.float64) - 0.5) * 7.9 * SCALE for _ in "xy")
    at = (x + 0.3).requires_grad_(), (y - 0.2).requires_grad_()
    alpha = torch.autograd.grad(profile.potential(*at).sum(), at)
    found = profile.deflection(*at)
    torch.testing.assert_close(found, alpha, rtol=1e-10, atol=1e-12)
    xx, xy = torch.autograd.grad(found[0].sum(), at, retain_graph=True)
    _, yy = torch.autograd.grad(found[1].sum(), at)
    torch.testing.assert_close(profile.hessian(*at), (xx, xy, yy), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_it_passes_smoothly_from_one_cell_to_the_next(method):
    profile, (x, y) = lens(random_map(8, 9)), centres((8, 9))
    inner = x[2:-2, 2:-2], y[2:-2, 2:-2]
    there = maps(profile, method, *inner)
    for shift in (-1e-9, 1e-9):
        here = maps(profile, method, inner[0] + shift, inner[1] - shift)
        for found, expected in zip(here, there, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_right(method, check_gradients):
    x, y = (torch.rand(1, 3, dtype=torch.float64) * 0.18 - 0.09 for _ in "xy")
    parameters = {"kappa": random_map(2, 3, 4), "center_x": 0.013, "center_y": [0.0, 0.01]}

    def evaluate(p):
        profile = lens(p["kappa"], center_x=p["center_x"], center_y=p["center_y"])
        return maps(profile, method, p["x"], p["y"])

    check_gradients(evaluate, parameters | {"x": x, "y": y})


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_members_one_by_one(method):
    kappa, (x, y) = random_map(3, 8, 9), centres((8, 9))
    grids = torch.stack([x, x + 0.02, x]), torch.stack([y, y, y - 0.01])
    together, apart = maps(lens(kappa), method, x, y), maps(lens(kappa), method, *grids)
    one_map = maps(lens(kappa[0]), method, *grids)
    for image in range(3):
        alone = maps(lens(kappa[image]), method, x, y)
        shifted = maps(lens(kappa[image]), method, grids[0][image], grids[1][image])
        first = maps(lens(kappa[0]), method, grids[0][image], grids[1][image])
        for many, single in zip(
            (*together, *apart, *one_map), (*alone, *shifted, *first), strict=True
        ):
            torch.testing.assert_close(many[image], single, rtol=1e-12, atol=1e-13)


def test_vmap_and_forward_derivatives_pass():
    kappa, (x, y) = random_map(3, 8, 9), centres((8, 9))

    def deflection(k):
        return lens(k).deflection(x, y)[0]

    together = torch.func.vmap(deflection)(kappa)
    torch.testing.assert_close(together, lens(kappa).deflection(x, y)[0], rtol=1e-12, atol=1e-14)
    # A lens is linear in its mass.
    _, tangent = torch.func.jvp(deflection, (kappa[0],), (kappa[1],))
    torch.testing.assert_close(tangent, together[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_float32_keeps_its_digits(method):
    kappa, (x, y) = random_map(16, 20).float(), centres((16, 20), torch.float32)
    wide = lens(kappa.double())
    # At the float64 positions that these float32 coordinates are.
    expected = maps(wide, method, x.double(), y.double())
    for found, theirs in zip(maps(lens(kappa), method, x, y), expected, strict=True):
        assert found.dtype == torch.float32
        assert (found.double() - theirs).abs().max() < 1e-4 * theirs.abs().max()


BAD = {
    "not a number": ({"kappa": torch.tensor([[1.0, math.nan]])}, "kappa must be finite"),
    "a row": ({"kappa": torch.ones(4)}, r"kappa must have shape \(ny, nx\) or \(B, ny, nx\)"),
    "four axes": ({"kappa": torch.ones(1, 1, 4, 4)}, "kappa must have shape"),
    "no pixels": ({"kappa": torch.ones(0, 4)}, "kappa must have shape"),
    "booleans": ({"kappa": torch.ones(4, 4, dtype=torch.bool)}, "kappa must be .* of real ones"),
    "a word": ({"kappa": "a.fits"}, "kappa must be a tensor or an array, got str"),
    "no scale": ({"pixel_scale": 0.0}, "pixel_scale must be positive and finite"),
    "nan scale": ({"pixel_scale": math.nan}, "pixel_scale must be positive and finite"),
    "centre": ({"center_x": math.nan}, "center_x must be finite"),
    "batch": (
        {"kappa": torch.ones(3, 4, 4), "center_x": torch.ones(2)},
        "kappa and its centre must share one batch shape",
    ),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_a_bad_map_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        PixelatedConvergence(**({"kappa": torch.ones(4, 4), "pixel_scale": 0.1} | changed))


def test_what_lies_outside_of_the_map_is_refused():
    with pytest.raises(ValueError, match="must lie inside the map"):
        lens(random_map(8, 9)).potential(*pixel_grid(20, SCALE, dtype=torch.float64))
