"""Fused loops over pixels on a CPU: the same numbers as the operations of torch, and gradients."""

import math

import numba
import numpy as np
import pytest
import torch

import lensphys as lp
from lensphys.fitting.scene import LensScene
from lensphys.kernels import elementary, launch
from lensphys.rendering import Pixels

DTYPES = [torch.float64, torch.float32]
B = 9


def uniform(low, high, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def by_torch(monkeypatch):
    """What a function returns without the fused loops."""

    def call(function):
        with monkeypatch.context() as patched:
            patched.setattr(launch, "is_possible", lambda *_: False)
            return function()

    return call


WIDE = 10 ** uniform(-12, 12, 20000).numpy()
FUNCTIONS = {
    "log": (np.log, WIDE),
    "log near 1": (np.log, uniform(0.5, 2, 20000).numpy()),
    "log1p": (np.log1p, WIDE),
    "log1p_over": (lambda x: np.log1p(x) / x, uniform(-1 / 3, 0.5, 20000).numpy()),
    "exp": (np.exp, uniform(-80, 80, 20000).numpy()),
    "angle": (np.arctan2, uniform(-1, 1, 20000).numpy() * WIDE, uniform(0, 1, 20000).numpy()),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_good_to_three_units_of_rounding(name, dtype):
    function, (reference, *arguments) = getattr(elementary, name.split()[0]), FUNCTIONS[name]

    @numba.njit(error_model="numpy")
    def one(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    @numba.njit(error_model="numpy")
    def two(x, y, out):
        for i in range(len(x)):
            out[i] = function(x[i], y[i])

    arguments = [value.astype(dtype) for value in arguments]
    found = np.empty_like(arguments[0])
    (one if len(arguments) == 1 else two)(*arguments, found)
    expected = reference(*(value.astype(np.longdouble) for value in arguments))
    units = np.abs(found - expected) / np.spacing(np.abs(expected).astype(dtype))
    assert units.max() < 3


def test_elementary_functions_at_the_ends_of_their_range():
    @numba.njit(error_model="numpy")
    def each(x, out):
        for i in range(len(x)):
            out[0, i], out[1, i] = elementary.exp(x[i]), elementary.log1p(x[i])

    for dtype in (np.float32, np.float64):
        x = np.array([np.nan, np.inf, 0.0, 1000.0], dtype)
        out = np.empty((2, 4), dtype)
        each(x, out)
        np.testing.assert_array_equal(out[0], [np.nan, np.inf, 1, np.inf])
        np.testing.assert_allclose(out[1], [np.nan, np.inf, 0, np.log1p(1000)], rtol=1e-6)
        each(-x, out)
        assert math.isnan(out[0, 0])
        assert out[0, 1:].tolist() == [0, 1, 0]


ELLIPTICITY = uniform(0, 0.85, B)
ELLIPTICITY[:4] = torch.tensor([0, 1e-9, 5e-4, 0.02])
TURN = uniform(0, 2 * math.pi, B, seed=1)
SHAPE = {
    "e1": ELLIPTICITY * TURN.cos(),
    "e2": ELLIPTICITY * TURN.sin(),
    "center_x": uniform(-0.1, 0.1, B, seed=2),
    "center_y": uniform(-0.1, 0.1, B, seed=3),
}
PROFILES = {
    "SIE": (lp.SIE, {"theta_E": uniform(0, 1.5, B, seed=4)} | SHAPE),
    "Sersic": (
        lp.Sersic,
        {
            "amplitude": uniform(0, 50, B, seed=5),
            "R_sersic": uniform(0.05, 2, B, seed=6),
            "n_sersic": torch.linspace(0.3, 10, B).double(),
        }
        | SHAPE,
    ),
}


def on_grid(kind, dtype):
    x, y = lp.pixel_grid((21, 34), 0.12, dtype=dtype)
    if kind == "of each image":
        shift = 0.01 * torch.arange(B, dtype=dtype)[:, None, None]
        return x + shift, y - shift
    if kind == "transposed in memory":
        return x.mT.contiguous().mT, y.mT.contiguous().mT
    return x, y


def maps_and_gradients(profile, x, y):
    """Values, and the gradients of a sum that no symmetry makes vanish, by parameters and grid."""
    leaves = [getattr(profile, name) for name in profile.parameter_names()]
    found = profile.deflection(x, y) if isinstance(profile, lp.SIE) else ()
    found = found or (profile.surface_brightness(x, y),)
    weights = (torch.linspace(0.5, 1.5, m.numel(), dtype=m.dtype).view(m.shape) for m in found)
    total = sum((m * weight).sum() for m, weight in zip(found, weights, strict=True))
    return [m.detach() for m in found], torch.autograd.grad(total, [*leaves, x, y])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["of all images", "of each image", "transposed in memory"])
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_and_their_gradients_are_those_of_torch(name, kind, dtype, by_torch):
    cls, parameters = PROFILES[name]
    profile = cls(**{k: v.to(dtype).requires_grad_() for k, v in parameters.items()})
    x, y = (v.requires_grad_() for v in on_grid(kind, dtype))
    found, gradients = maps_and_gradients(profile, x, y)
    expected, others = by_torch(lambda: maps_and_gradients(profile, x, y))
    with torch.no_grad():
        plain = profile.deflection(x, y) if cls is lp.SIE else (profile.surface_brightness(x, y),)
    torch.testing.assert_close(list(plain), found, rtol=0, atol=0)
    tolerance = 1e-13 if dtype == torch.float64 else 2e-5
    for ours, theirs in zip([*found, *gradients], [*expected, *others], strict=True):
        assert ours.shape == theirs.shape
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", PROFILES)
def test_gradients_of_gradients(name):
    cls, parameters = PROFILES[name]
    leaves = [v[3:6].clone().requires_grad_() for v in parameters.values()]
    x, y = lp.pixel_grid((3, 4), 0.5, dtype=torch.float64)

    def evaluate(*values):
        profile = cls(**dict(zip(parameters, values, strict=True)))
        return profile.deflection(x, y) if cls is lp.SIE else profile.surface_brightness(x, y)

    assert torch.autograd.gradcheck(evaluate, leaves, atol=1e-5)
    assert torch.autograd.gradgradcheck(evaluate, leaves, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PROFILES)
def test_values_and_gradients_are_finite_at_the_centre(name, dtype):
    cls, parameters = PROFILES[name]
    parameters = {k: v.to(dtype) for k, v in parameters.items() if "center" not in k}
    profile = cls(
        **{k: v.requires_grad_() for k, v in parameters.items()},
        center_x=torch.zeros(B, dtype=dtype, requires_grad=True),
        center_y=torch.zeros(B, dtype=dtype, requires_grad=True),
    )
    x, y = (torch.zeros(1, 1, dtype=dtype, requires_grad=True) for _ in "xy")
    found, gradients = maps_and_gradients(profile, x, y)
    assert all(torch.isfinite(value).all() for value in (*found, *gradients))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lens_light", [False, True])
def test_the_jacobian_of_a_scene_is_that_of_torch(lens_light, dtype, by_torch):
    scene = LensScene(lens_light=lens_light)
    mass, light = PROFILES["SIE"][1], PROFILES["Sersic"][1]
    params = mass | {"gamma1": uniform(-0.1, 0.1, B), "gamma2": uniform(-0.1, 0.1, B, seed=1)}
    for prefix in ("source_", "lens_light_"):
        params |= {prefix + name: value for name, value in light.items()}
        params[prefix + "n_sersic"] = params[prefix + "n_sersic"].clamp(0.5, 2)
    params = {name: params[name].to(dtype) for name in scene.names}
    psf = lp.GaussianPSF(fwhm=0.1, pixel_scale=0.08)
    pixels = Pixels(*lp.pixel_grid((20, 31), 0.08, dtype=dtype), psf=psf)
    found = scene.image_and_jacobian(params, pixels)
    expected = by_torch(lambda: scene.image_and_jacobian(params, pixels))
    assert found.shape == (B, 1 + len(scene.names), 20, 31)
    scale = expected.abs().amax((0, 2, 3), keepdim=True)
    assert ((found - expected) / scale).abs().max() < (1e-11 if dtype == torch.float64 else 1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_narrow_gaussian_and_its_transpose(dtype, by_torch):
    psf = lp.GaussianPSF(fwhm=0.1, pixel_scale=0.08)
    image = uniform(0, 1, 3, 40, 33).to(dtype).requires_grad_()
    weight = uniform(0, 1, 3, 40, 33, seed=1).to(dtype)

    def blurred():
        out = psf.convolve(image)
        return out.detach(), torch.autograd.grad((out * weight).sum(), image)[0]

    torch.testing.assert_close(blurred(), by_torch(blurred))
    assert (psf.convolve(torch.ones(40, 33, dtype=dtype)) - 1).abs().max() < 1e-6
    if dtype == torch.float64:
        small = image[:1, :21, :21].detach().requires_grad_()
        assert torch.autograd.gradcheck(psf.convolve, small, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda v: psf.convolve(v**2), small, fast_mode=True)


def members(name, dtype):
    """Parameters of members over decades, among them some that meet a pixel."""

    def over(low, high, seed):
        return 10 ** uniform(math.log10(low), math.log10(high), 2, 40, seed=seed)

    named = {
        "center_x": uniform(-2, 2, 2, 40, seed=1),
        "center_y": uniform(-1, 1, 2, 40, seed=2),
    }
    if name in ("NFW", "TNFW"):
        named |= {"Rs": over(0.01, 20, 3), "alpha_Rs": over(0.001, 1, 4)}
    else:
        named["theta_E"] = over(0.001, 1, 5)
    if name == "TNFW":
        named["r_trunc"] = over(0.005, 50, 6)
    if name == "UniformLine":
        named |= {"half_length": over(1e-6, 3, 7), "phi": uniform(0, 6, 2, 40, seed=8)}
        named["half_length"][0, 3] = 0
        named["phi"][0, 0] = 0  # along pixels, and in float64 from one to another
        named["half_length"][0, 0] = 0.5 if dtype == torch.float64 else 0.53
    named["center_x"][0, 0], named["center_y"][0, 0] = 0.05, 0.1
    return {key: value.to(dtype) for key, value in named.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["PointMass", "NFW", "TNFW", "UniformLine"])
def test_each_member_of_a_fused_sum_keeps_its_digits(name, dtype, by_torch):
    cls, named = getattr(lp, name), members(name, dtype)
    x, y = lp.pixel_grid((21, 50), 0.1, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-6
    for k in range(40):
        one = {key: value[:, k : k + 1] for key, value in named.items()}
        found = torch.stack(lp.Population(cls(**one)).deflection(x, y))
        precise = cls(**{key: value[:, 0].double() for key, value in one.items()})
        expected = torch.stack(by_torch(lambda p=precise: p.deflection(x.double(), y.double())))
        error = torch.linalg.vector_norm(found - expected, dim=0)
        assert (error <= tolerance * torch.linalg.vector_norm(expected, dim=0) + 1e-30).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["PointMass", "NFW", "TNFW", "UniformLine"])
def test_a_fused_sum_over_no_pixels_is_empty(name, dtype):
    population = lp.Population(getattr(lp, name)(**members(name, dtype)))
    nowhere = torch.empty(0, dtype=dtype)
    for alpha in population.deflection(nowhere[None], nowhere[None]):
        assert alpha.shape == (2, 1, 0)


def test_masked_members_may_hold_anything():
    x, y = lp.pixel_grid(8, 0.1)
    named = {key: value[0, :3].clone() for key, value in members("TNFW", torch.float32).items()}
    profile = lp.TNFW(**named)
    named["Rs"][1] = math.nan
    found = lp.Population(profile, mask=torch.tensor([True, False, True])).deflection(x, y)
    expected = lp.Population(lp.TNFW(**{k: v[[0, 2]] for k, v in named.items()})).deflection(x, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_threads_change_no_bit():
    x, y = lp.pixel_grid(64, 0.08)
    sie = lp.SIE(**{key: value.float() for key, value in PROFILES["SIE"][1].items()})
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = torch.stack(sie.deflection(x, y))
        torch.set_num_threads(3)
        several = torch.stack(sie.deflection(x, y))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, several)


@pytest.mark.parametrize("shear_of", ["each image", "all images"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sheared_rays_and_their_gradients_are_those_of_torch(dtype, shear_of, by_torch):
    shape = (B,) if shear_of == "each image" else ()
    names = ["gamma1", "gamma2", "ra_0", "dec_0"]
    shear = lp.Shear(
        **{name: uniform(-0.1, 0.1, shape, seed=i).to(dtype) for i, name in enumerate(names)}
    )
    sie = lp.SIE(**{k: v.to(dtype) for k, v in PROFILES["SIE"][1].items()})
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
