"""Tools for the tests of compiled loops: random parameters, and comparisons with torch."""

import math

import torch

import lensphys as lp

DTYPES = [torch.float64, torch.float32]
#: Images of a batch.
B = 9


def uniform(low, high, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


ELLIPTICITY = uniform(0, 0.85, B)
ELLIPTICITY[:4] = torch.tensor([0, 1e-9, 5e-4, 0.02])
TURN = uniform(0, 2 * math.pi, B, seed=1)
SHAPE = {
    "e1": ELLIPTICITY * TURN.cos(),
    "e2": ELLIPTICITY * TURN.sin(),
    "center_x": uniform(-0.1, 0.1, B, seed=2),
    "center_y": uniform(-0.1, 0.1, B, seed=3),
}
SIE = {"theta_E": uniform(0, 1.5, B, seed=4)} | SHAPE
SERSIC = {
    "amplitude": uniform(0, 50, B, seed=5),
    "R_sersic": uniform(0.05, 2, B, seed=6),
    "n_sersic": torch.linspace(0.5, 10, B).double(),
} | SHAPE
KINDS_OF_GRIDS = ["of all images", "of each image", "transposed in memory"]


def on_grid(kind, dtype):
    x, y = lp.pixel_grid((21, 34), 0.12, dtype=dtype)
    if kind == "of each image":
        shift = 0.01 * torch.arange(B, dtype=dtype)[:, None, None]
        return x + shift, y - shift
    if kind == "transposed in memory":
        return x.mT.contiguous().mT, y.mT.contiguous().mT
    return x, y


def maps(profile, x, y):
    if isinstance(profile, lp.MassProfile):
        return profile.deflection(x, y)
    return (profile.surface_brightness(x, y),)


def maps_and_gradients(profile, x, y):
    """Values, and the gradients of a sum that no symmetry makes vanish, by parameters and grid."""
    leaves = [getattr(profile, name) for name in profile.parameter_names()]
    found = maps(profile, x, y)
    weights = (torch.linspace(0.5, 1.5, m.numel(), dtype=m.dtype).view(m.shape) for m in found)
    total = sum((m * weight).sum() for m, weight in zip(found, weights, strict=True))
    return [m.detach() for m in found], torch.autograd.grad(total, [*leaves, x, y])


def assert_values_and_gradients_of_torch(cls, parameters, kind, dtype, by_torch):
    profile = cls(**{k: v.to(dtype).requires_grad_() for k, v in parameters.items()})
    x, y = (v.requires_grad_() for v in on_grid(kind, dtype))
    found, gradients = maps_and_gradients(profile, x, y)
    expected, others = by_torch(lambda: maps_and_gradients(profile, x, y))
    with torch.no_grad():
        plain = maps(profile, x, y)
    torch.testing.assert_close(list(plain), found, rtol=0, atol=0)
    tolerance = 1e-13 if dtype == torch.float64 else 2e-5
    for ours, theirs in zip([*found, *gradients], [*expected, *others], strict=True):
        assert ours.shape == theirs.shape
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


def assert_gradients_of_gradients(cls, parameters):
    leaves = [v[3:6].clone().requires_grad_() for v in parameters.values()]
    x, y = lp.pixel_grid((3, 4), 0.5, dtype=torch.float64)

    def evaluate(*values):
        found = maps(cls(**dict(zip(parameters, values, strict=True))), x, y)
        return found if len(found) > 1 else found[0]

    assert torch.autograd.gradcheck(evaluate, leaves, atol=1e-5)
    assert torch.autograd.gradgradcheck(evaluate, leaves, atol=1e-3, rtol=1e-3)


def assert_finite_at_the_centre(cls, parameters, dtype):
    parameters = {k: v.to(dtype) for k, v in parameters.items() if "center" not in k}
    profile = cls(
        **{k: v.requires_grad_() for k, v in parameters.items()},
        center_x=torch.zeros(B, dtype=dtype, requires_grad=True),
        center_y=torch.zeros(B, dtype=dtype, requires_grad=True),
    )
    x, y = (torch.zeros(1, 1, dtype=dtype, requires_grad=True) for _ in "xy")
    found, gradients = maps_and_gradients(profile, x, y)
    assert all(torch.isfinite(value).all() for value in (*found, *gradients))


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


def assert_digits_of_each_member(cls, dtype, by_torch):
    named = members(cls.__name__, dtype)
    x, y = lp.pixel_grid((21, 50), 0.1, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-6
    for k in range(40):
        one = {key: value[:, k : k + 1] for key, value in named.items()}
        found = torch.stack(lp.Population(cls(**one)).deflection(x, y))
        precise = cls(**{key: value[:, 0].double() for key, value in one.items()})
        expected = torch.stack(by_torch(lambda p=precise: p.deflection(x.double(), y.double())))
        error = torch.linalg.vector_norm(found - expected, dim=0)
        assert (error <= tolerance * torch.linalg.vector_norm(expected, dim=0) + 1e-30).all()


def assert_no_pixels(cls, dtype):
    population = lp.Population(cls(**members(cls.__name__, dtype)))
    nowhere = torch.empty(0, dtype=dtype)
    for alpha in population.deflection(nowhere[None], nowhere[None]):
        assert alpha.shape == (2, 1, 0)
