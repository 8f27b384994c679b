"""Scenes of components: their parts are what the profiles render to."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.scene import LinearScene
from tests.lensphys.fitting.linear.scenes import (
    LIGHTS,
    PSF,
    SCALE,
    SOURCES,
    amplitudes_of,
    components_of,
    params_of,
    pixels_of,
    scene_of,
)


def values_of(scene, seed=1):
    components = [*scene.sources, *scene.lights]
    parts = [amplitudes_of(component, seed) for component in components]
    parts.append(torch.tensor([[0.3], [-0.2]]).double())
    return params_of(scene.names) | scene.split(torch.cat(parts, 1))


@pytest.mark.parametrize("supersampling", [1, 2])
@pytest.mark.parametrize(
    ("source", "light"),
    [*((source, "one ellipse") for source in SOURCES), *(("shapelets", light) for light in LIGHTS)],
)
def test_the_parts_are_what_the_profiles_render_to(source, light, supersampling):
    pixels = pixels_of(supersampling=supersampling)
    scene = scene_of(pixels, source, light)
    values = values_of(scene)
    parts = scene.parts(values, pixels)
    x, y = pixels.centers
    options = {"psf": PSF, "supersampling": supersampling}
    lens, sources, lights = scene.lens(values), scene.source(values), scene.light(values)
    dark = lp.Sersic(amplitude=0.0, R_sersic=1.0, n_sersic=1.0)
    lensed = lp.render(lens, sources, x, y, **options)
    torch.testing.assert_close(parts["source"], lensed, rtol=1e-9, atol=1e-12)
    shining = lp.render(lens, dark, x, y, lens_light=lights, **options)
    off = (parts["lens_light"] - shining).abs().amax((1, 2)) / shining.amax((1, 2))
    assert off.max() < 3e-3
    # A background of 0.3 an arcsec^2; the blur loses what crosses the edge, if anything.
    inner = parts["sky"][:, 5:-5, 5:-5] / SCALE**2
    torch.testing.assert_close(inner[0], torch.full_like(inner[0], 0.3))
    torch.testing.assert_close(inner[1], torch.full_like(inner[1], -0.2))


def test_columns_are_those_of_sources_then_of_light_then_of_the_sky():
    pixels = pixels_of()
    known = components_of(pixels)
    scene = scene_of(pixels, "shapelets", "two ellipses")
    first, second = known["shapelets"].count, known["two ellipses"].count
    assert scene.count == first + second + 1
    assert scene.positive.tolist() == [False] * first + [True] * second + [False]
    assert scene.regularised.tolist() == [True] * first + [False] * (second + 1)
    assert torch.equal(scene.roughness[:first, :first], known["shapelets"].roughness())
    assert not scene.roughness[first:].any()
    assert scene.scatter.isinf().all()
    pieces = scene.split(torch.arange(float(scene.count))[None])
    assert [piece.shape[1] for piece in pieces.values()] == [first, second, 1]
    assert pieces["sky"].item() == scene.count - 1


def test_several_sources_add():
    pixels = pixels_of()
    one, two = scene_of(pixels, "shapelets", None, None), scene_of(pixels, "pixels", None, None)
    both = LinearScene(one.deflectors, [*one.sources, *two.sources], [])
    amplitudes = torch.cat([amplitudes_of(one.sources[0]), amplitudes_of(two.sources[0])], 1)
    params = params_of(both.names)
    total = both.parts(params | both.split(amplitudes), pixels)["source"]
    alone = [
        scene.parts(params | {"source": amplitudes_of(scene.sources[0])}, pixels)["source"]
        for scene in (one, two)
    ]
    torch.testing.assert_close(total, alone[0] + alone[1])


def test_a_dark_lens_has_no_light():
    pixels = pixels_of()
    scene = scene_of(pixels, "shapelets", None, None)
    assert scene.light({}) is None
    assert not scene.light_names
    values = params_of(scene.names) | {"source": amplitudes_of(scene.sources[0])}
    parts = scene.parts(values, pixels)
    assert not parts["lens_light"].any()
    assert not parts["sky"].any()
    assert parts["lens_light"].shape == parts["source"].shape == (2, 20, 24)


def test_a_scene_of_light_alone_has_no_lens():
    pixels = pixels_of()
    scene = LinearScene(None, [], [components_of(pixels)["two ellipses"]])
    with pytest.raises(ValueError, match="no lens"):
        scene.lens({})
    values = params_of(scene.names) | {"lens_light": amplitudes_of(scene.lights[0])}
    assert not scene.parts(values, pixels)["source"].any()
