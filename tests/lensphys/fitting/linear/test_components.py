"""Components of light: their amplitudes, the slopes of their light, and the background."""

import math

import pytest
import torch

from lensphys.fitting.linear.components import Sky, column
from tests.lensphys.fitting.linear.scenes import (
    LIGHTS,
    SOURCES,
    amplitudes_of,
    components_of,
    params_of,
    pixels_of,
)

NAMES = (*SOURCES, *LIGHTS, "sky")


@pytest.fixture(scope="module", params=[1, 2], ids=["one ray", "four rays"])
def pixels(request):
    return pixels_of((14, 17), supersampling=request.param)


def positions(pixels):
    """Positions of two images that differ, away from where splines have kinks."""
    return torch.stack([pixels.x + 0.0123, 0.9 * pixels.x]), torch.stack([pixels.y, 1.1 * pixels.y])


def light(component, params, amplitudes, x, y):
    basis = component.evaluate(params, x, y).basis
    return (amplitudes[:, :, None, None] * basis).sum(1)


@pytest.mark.parametrize("name", NAMES)
def test_a_component_has_as_many_maps_as_amplitudes(pixels, name):
    component = components_of(pixels)[name]
    basis = component.evaluate(params_of(component.ranges), pixels.x, pixels.y).basis
    assert basis.shape[1:] == (component.count, *pixels.x.shape)
    assert basis.shape[0] == (1 if name == "sky" else 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_slopes_of_light_are_finite_differences(pixels, name):
    component = components_of(pixels)[name]
    params, amplitudes = params_of(component.ranges), amplitudes_of(component)
    # Lens light is evaluated at the rays themselves, whose pixels it is averaged over.
    x, y = positions(pixels) if name in SOURCES else (pixels.x, pixels.y)
    slopes, by_name = component.evaluate(params, x, y).contract(amplitudes)
    assert set(by_name) == set(component.ranges)
    step = 1e-6
    cases = {}
    for k in component.ranges:
        change = {k: params[k] + step}, {k: params[k] - step}
        cases[k] = by_name[k], [light(component, params | c, amplitudes, x, y) for c in change]
    if name in SOURCES:
        for axis, slope in zip("xy", slopes, strict=True):
            dx, dy = (step, 0.0) if axis == "x" else (0.0, step)
            ends = [light(component, params, amplitudes, x + s * dx, y + s * dy) for s in (1, -1)]
            cases[axis] = slope, ends
    else:
        assert slopes is None
    for k, (found, (after, before)) in cases.items():
        expected = (after - before) / (2 * step)
        scale = expected.abs().max().item()
        if name == "sersic light":
            # Slopes of the mean over a pixel are rough where the core is steep.
            assert (found - expected).abs().max().item() < 1e-2 * scale, k
            continue
        # The splines between pixels have kinks in their second derivative.
        assert (found - expected).abs().max().item() < 1e-5 * scale, k


@pytest.mark.parametrize("name", NAMES)
def test_amplitudes_may_differ_from_place_to_place(pixels, name):
    component = components_of(pixels)[name]
    maps = component.evaluate(params_of(component.ranges), pixels.x, pixels.y)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(2, component.count, *pixels.x.shape, generator=generator).double()
    slopes, by_name = maps.weigh(weights)
    total = {}
    for k in range(component.count):
        one = torch.zeros(2, component.count).double()
        one[:, k] = 1.0
        own_slopes, own = maps.contract(one)
        own = dict(own) | ({} if own_slopes is None else dict(zip("xy", own_slopes, strict=True)))
        for key, value in own.items():
            total[key] = total.get(key, 0) + weights[:, k] * value
    found = dict(by_name) | ({} if slopes is None else dict(zip("xy", slopes, strict=True)))
    assert found.keys() == total.keys()
    for key, value in total.items():
        torch.testing.assert_close(found[key], value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SOURCES)
def test_there_is_no_light_beyond_the_places_that_are_lit(name, dtype):
    pixels = pixels_of((120, 120), dtype=dtype)
    component = components_of(pixels)[name]
    params = params_of(component.ranges, dtype)
    lit = component.find_lit(params, pixels.x, pixels.y)
    if name == "sersic source":
        assert lit is None
        return
    basis = component.evaluate(params, pixels.x, pixels.y).basis
    peak = basis.abs().amax((-2, -1), keepdim=True)
    assert (basis.abs() / peak)[~lit[:, None].expand_as(basis)].max() < torch.finfo(dtype).eps
    assert 0.005 < lit.double().mean() < 0.5


@pytest.mark.parametrize("order", [0, 3])
def test_a_background_is_a_sum_of_independent_waves(order):
    pixels = pixels_of((15, 12))
    sky = Sky(pixels, order)
    assert sky.count == (order + 1) * (order + 2) // 2
    basis = sky.evaluate({}, pixels.x, pixels.y).basis[0]
    assert (basis[0] == 1).all()
    assert basis.abs().max() <= 1 + 1e-12
    rank = torch.linalg.matrix_rank(basis.flatten(1))
    assert rank == sky.count


def test_finer_waves_of_a_background_are_expected_to_be_weaker():
    scatter = Sky(pixels_of(), 3).scatter()
    assert scatter[0] == math.inf
    assert (scatter[1:].diff() <= 0).all()
    assert scatter[-1] == pytest.approx(scatter[1].item() / 3)


def test_a_background_does_not_depend_on_the_rays_of_a_pixel():
    one, four = pixels_of(psf=None), pixels_of(psf=None, supersampling=2)
    maps = [p.collect(Sky(p, 1).evaluate({}, p.x, p.y).basis) for p in (one, four)]
    torch.testing.assert_close(maps[0], maps[1], rtol=0, atol=2e-3 * 0.01)


def test_a_column_goes_with_maps():
    assert column({"beta": torch.ones(3)}, "beta").shape == (3, 1, 1)
