"""Layers between the image plane and the source plane."""

import math

import pytest
import torch

from lensphys import (
    SIE,
    DeLens,
    FlatLambdaCDM,
    GaussianPSF,
    MultiPlane,
    RayTrace,
    ReLens,
    Render,
    Sersic,
    Shear,
    ThinLens,
    pixel_grid,
    render,
)

LENS = {"theta_E": 0.9, "e1": 0.12, "e2": -0.07, "center_x": 0.03, "center_y": -0.02}
LENS |= {"gamma1": 0.05, "gamma2": 0.02, "alpha_scale": 0.95}
#: Not square, so that no axis passes for another; the source plane is finer than the image.
GEOMETRY = {"pixel_scale": 0.1, "shape": (34, 37)}
GEOMETRY |= {"source_pixel_scale": 0.07, "source_shape": (21, 25)}
both = pytest.mark.parametrize("layer", [DeLens, ReLens])


def lens_of(p):
    sie = {k: p[k] for k in ("theta_E", "e1", "e2", "center_x", "center_y")}
    shear = Shear(gamma1=p["gamma1"], gamma2=p["gamma2"])
    return ThinLens([SIE(**sie), shear], alpha_scale=p["alpha_scale"])


def between(layer, dtype=torch.float64, **changed):
    return layer(**(GEOMETRY | changed), dtype=dtype)


def smooth(shape, pixel_scale, width=0.35):
    x, y = pixel_grid(shape, pixel_scale, dtype=torch.float64)
    return torch.exp(-0.5 * ((x - 0.1) ** 2 + (y + 0.05) ** 2) / width**2)


def given(layer, *batch):
    """Random pixels for a layer's input."""
    shape = GEOMETRY["shape" if layer is DeLens else "source_shape"]
    return torch.rand(*batch, *shape, generator=torch.Generator().manual_seed(3)).double()


def pixels(result):
    return result[0] if isinstance(result, tuple) else result


def no_lens(batch=()):
    return ThinLens([SIE(theta_E=torch.zeros(batch) if batch else 0.0)])


def test_ray_trace_and_render_are_those_of_the_functions():
    lens, (x, y) = lens_of(LENS), pixel_grid((7, 9), 0.1, dtype=torch.float64)
    source = Sersic(amplitude=2.0, R_sersic=0.3, n_sersic=1.0)
    trace = RayTrace(pixel_scale=0.1, shape=(7, 9), dtype=torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(trace(lens), lens.ray_trace(x, y), strict=True))
    for psf in (None, GaussianPSF(0.16, 0.1)):
        layer = Render(pixel_scale=0.1, shape=(7, 9), psf=psf, dtype=torch.float64)
        assert torch.equal(layer(lens, source), render(lens, source, x, y, psf=psf))


def test_a_psf_for_other_pixels_is_refused():
    with pytest.raises(ValueError, match=r"psf\.pixel_scale is 0\.101"):
        Render(pixel_scale=0.08, shape=9, psf=GaussianPSF(0.16, 0.101))


@pytest.mark.parametrize("layer", [RayTrace, Render, DeLens, ReLens])
def test_a_pixel_scale_must_be_given(layer):
    keywords = {k: v for k, v in GEOMETRY.items() if layer in (DeLens, ReLens) or "source" not in k}
    for name in keywords:
        with pytest.raises(TypeError, match=name):
            layer(**{k: v for k, v in keywords.items() if k != name})
    for name in (k for k in keywords if k.endswith("scale")):
        with pytest.raises(ValueError, match="pixel_scale must be positive"):
            layer(**(keywords | {name: -0.1}))


@pytest.mark.parametrize("layer", [RayTrace, Render, DeLens, ReLens])
def test_the_grid_follows_the_module_and_is_no_state(layer):
    keywords = {k: v for k, v in GEOMETRY.items() if layer in (DeLens, ReLens) or "source" not in k}
    module = layer(**keywords)
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
    assert module.x.dtype == torch.float32
    assert module.double().x.dtype == torch.float64
    assert module.to("meta").x.device.type == "meta"
    assert "pixel_scale=0.1" in repr(module)


def test_without_a_lens_both_are_the_identity():
    image = given(ReLens)
    same = {"source_pixel_scale": 0.07, "pixel_scale": 0.07, "shape": GEOMETRY["source_shape"]}
    torch.testing.assert_close(between(ReLens, **same)(image, no_lens()), image)
    source, coverage = between(DeLens, **same)(image, no_lens())
    torch.testing.assert_close(source, image)
    torch.testing.assert_close(coverage, torch.ones_like(coverage))


def test_lensing_a_source_on_pixels_is_rendering_it():
    """Surface brightness is conserved."""
    lens = lens_of(LENS)
    x, y = pixel_grid((40, 40), 0.1, dtype=torch.float64)
    source = Sersic(amplitude=2.0, R_sersic=0.4, n_sersic=0.5)
    at = pixel_grid((301, 301), 0.01, dtype=torch.float64)
    fine = {"shape": 40, "source_pixel_scale": 0.01, "source_shape": 301}
    found = between(ReLens, **fine)(source.surface_brightness(*at), lens)
    expected = render(lens, source, x, y) / 0.1**2
    near = torch.stack(lens.ray_trace(x, y)).abs().amax(0) < 1.49
    assert near.sum() > 800
    torch.testing.assert_close(found[near], expected[near], rtol=0, atol=1e-3)


def test_interpolation_is_exact_for_a_plane():
    x, y = pixel_grid(GEOMETRY["source_shape"], 0.07, dtype=torch.float64)
    image = between(ReLens)(1 + 2 * x - 3 * y, lens_of(LENS))
    beta_x, beta_y = RayTrace(**{k: GEOMETRY[k] for k in ("pixel_scale", "shape")}).double()(
        lens_of(LENS)
    )
    inside = (beta_x.abs() < 0.84) & (beta_y.abs() < 0.7)
    expected = 1 + 2 * beta_x - 3 * beta_y
    assert inside.sum() > 100
    torch.testing.assert_close(image[inside], expected[inside], rtol=1e-6, atol=1e-6)
    assert (image[(beta_x.abs() > 0.92) | (beta_y.abs() > 0.78)] == 0).all()


def test_a_uniform_image_shows_a_uniform_source_where_it_is_covered():
    source, coverage = between(DeLens)(torch.full((34, 37), 2.5).double(), lens_of(LENS))
    covered = coverage > 1e-3
    assert covered.double().mean() > 0.9
    torch.testing.assert_close(source[covered], torch.full_like(source[covered], 2.5))
    assert (source[coverage == 0] == 0).all()


def test_the_coverage_counts_every_ray_once():
    """Its sum is the number of image pixels whose rays end inside the source grid."""
    _, coverage = between(DeLens, source_shape=(121, 121))(given(DeLens), lens_of(LENS))
    assert coverage.sum().item() == pytest.approx(34 * 37, rel=1e-12)


def test_coverage_is_the_magnification():
    """A source pixel is seen by its area times the magnification of all its images."""
    lens = ThinLens([SIE(theta_E=1.0)])
    layer = between(DeLens, pixel_scale=0.004, shape=800, source_pixel_scale=0.1, source_shape=5)
    _, coverage = layer(torch.ones(800, 800).double(), lens)
    x, y = pixel_grid(5, 0.1, dtype=torch.float64)
    total = coverage * 0.004**2 / 0.1**2
    # 2 / beta inside the Einstein radius; the triangle of the weights blurs its pole.
    beta = torch.hypot(x, y)
    outer = beta > 0.19
    torch.testing.assert_close(total[outer], 2 / beta[outer], rtol=3e-2, atol=0)


def test_a_source_comes_back_from_its_image():
    lens = lens_of(LENS)
    source = smooth((21, 25), 0.07)
    image = between(ReLens, pixel_scale=0.02, shape=(170, 185))(source, lens)
    found, coverage = between(DeLens, pixel_scale=0.02, shape=(170, 185))(image, lens)
    inner = coverage > 1
    inner[0], inner[-1], inner[:, 0], inner[:, -1] = False, False, False, False
    assert inner.sum() > 400
    # Twice the bilinear kernel blurs by a third of a pixel squared.
    torch.testing.assert_close(found[inner], source[inner], rtol=0, atol=0.02)


def test_delensing_is_the_transpose_of_lensing():
    """<ReLens s, i> = <s, DeLens i * coverage>."""
    lens, source, image = lens_of(LENS), given(ReLens), given(DeLens)
    found, coverage = between(DeLens)(image, lens)
    left = (between(ReLens)(source, lens) * image).sum()
    weighed = found * coverage.clamp_min(1e-3)
    torch.testing.assert_close(left, (source * weighed).sum(), rtol=1e-12, atol=0)


@both
def test_gradients_in_lens_and_pixels_are_right(layer, check_gradients):
    small = {
        "pixel_scale": 0.55,
        "shape": (6, 5),
        "source_pixel_scale": 0.31,
        "source_shape": (5, 4),
    }
    module = between(layer, **small)
    shape = small["shape" if layer is DeLens else "source_shape"]
    image = torch.rand(shape, generator=torch.Generator().manual_seed(5)).double()
    check_gradients(lambda p: module(p["image"], lens_of(p)), LENS | {"image": image})


@both
def test_every_parameter_of_the_lens_has_a_gradient(layer, gradients):
    module, image = between(layer), given(layer)
    found = gradients(lambda p: pixels(module(image, lens_of(p))), LENS)
    assert all(gradient.abs() > 1e-3 for gradient in found.values())


@both
def test_gradients_reach_a_cosmology(layer, gradients):
    module, image = between(layer), given(layer)

    def evaluate(p):
        cosmology = FlatLambdaCDM(H0=70.0, Om0=p["Om0"])
        parts = [SIE(theta_E=0.9), SIE(theta_E=0.2, center_x=0.5)]
        lens = MultiPlane(parts, [0.3, p["z"]], z_source=1.5, cosmology=cosmology)
        return pixels(module(image, lens))

    found = gradients(evaluate, {"Om0": 0.3, "z": 0.6})
    assert all(gradient.abs() > 1e-4 for gradient in found.values())


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite(layer, dtype, gradients):
    module, image = between(layer, dtype=dtype, shape=(35, 37)), given(layer).to(dtype)
    if layer is DeLens:
        image = torch.cat([image, image[:1]])
    centred = LENS | {"center_x": 0.0, "center_y": 0.0, "e1": 0.0, "e2": 0.0}
    assert pixels(module(image, lens_of(centred))).dtype == dtype
    found = gradients(lambda p: pixels(module(image, lens_of(p))), centred, dtype)
    assert all(torch.isfinite(gradient) for gradient in found.values())


@both
def test_a_batch_is_its_members_one_by_one(layer):
    module = between(layer)
    theta_E = torch.tensor([0.7, 0.9, 1.0], dtype=torch.float64)
    for images, lens in (
        (given(layer, 3), lens_of(LENS | {"theta_E": theta_E})),
        (given(layer, 3), lens_of(LENS)),
        (given(layer, 1), lens_of(LENS | {"theta_E": theta_E})),
        (given(layer), lens_of(LENS | {"theta_E": theta_E})),
    ):
        together = pixels(module(images, lens))
        assert together.ndim == 3
        assert len(together) == 3
        many = torch.broadcast_to(images, (3, *images.shape[-2:]))
        for i in range(3):
            batched = lens.deflectors[0].theta_E
            one = LENS | {"theta_E": batched[i].item() if torch.is_tensor(batched) else batched}
            alone = pixels(module(many[i], lens_of(one)))
            assert alone.ndim == 2
            torch.testing.assert_close(together[i], alone, rtol=1e-10, atol=1e-12)


@both
def test_channels_are_lensed_alike(layer):
    module, lens = between(layer), lens_of(LENS | {"theta_E": torch.tensor([0.7, 0.9])})
    images = given(layer, 2, 3)
    together = pixels(module(images, lens))
    assert together.shape[:2] == (2, 3)
    for c in range(3):
        torch.testing.assert_close(together[:, c], pixels(module(images[:, c], lens)))
    if layer is DeLens:
        assert module(images, lens)[1].shape == (2, 21, 25)


@both
def test_forward_derivatives_and_vmap(layer):
    module, image = between(layer), given(layer)

    def evaluate(theta_E):
        return pixels(module(image, lens_of(LENS | {"theta_E": theta_E})))

    theta_E = torch.tensor([0.7, 0.9], dtype=torch.float64)
    torch.testing.assert_close(
        torch.func.vmap(evaluate)(theta_E), evaluate(theta_E), rtol=1e-10, atol=1e-12
    )
    _, forward = torch.func.jvp(evaluate, (theta_E[0],), (torch.ones_like(theta_E[0]),))
    backward = torch.autograd.functional.jacobian(evaluate, theta_E[0], vectorize=True)
    torch.testing.assert_close(forward, backward, rtol=1e-9, atol=1e-10)


@both
def test_an_image_of_other_pixels_is_refused(layer):
    name = "image" if layer is DeLens else "source"
    module, lens = between(layer), lens_of(LENS)
    for bad in (torch.zeros(9, 9), torch.zeros(2, 34, 36), given(layer)[0], given(layer, 1, 1, 1)):
        with pytest.raises(ValueError, match=f"^{name} must be of shape .* with pixels"):
            module(bad, lens)
    batch = lens_of(LENS | {"theta_E": torch.tensor([0.7, 0.9])})
    with pytest.raises(ValueError, match=f"^{name} and lens must share one batch, got"):
        module(given(layer, 3), batch)


def test_rays_that_go_astray_leave_no_trace():
    lens = ThinLens([SIE(theta_E=9e4)])
    assert (between(ReLens)(given(ReLens), lens) == 0).all()
    source, coverage = between(DeLens)(given(DeLens), lens)
    assert (source == 0).all()
    assert (coverage == 0).all()
    assert math.isfinite(coverage.sum().item())


@both
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bfloat16])
def test_an_image_of_whole_numbers_or_half_precision_is_that_of_floats(layer, dtype):
    """Weights between 0 and 1 would all be cast to 0."""
    image = (10 * given(layer)).floor().to(dtype)
    found = pixels(between(layer)(image, no_lens()))
    torch.testing.assert_close(found.double(), pixels(between(layer)(image.double(), no_lens())))


def test_a_layer_in_a_network_of_half_precision_stays_in_single():
    lens, source = lens_of(LENS), Sersic(amplitude=2.0, R_sersic=0.3, n_sersic=1.0)
    layer = Render(pixel_scale=0.1, shape=32, psf=GaussianPSF(0.3, 0.1))
    expected = layer(lens, source)
    for half in (layer.half(), layer.bfloat16(), torch.nn.Sequential(layer).half()[0]):
        assert torch.equal(half(lens, source), expected)
    assert layer.double().x.dtype == torch.float64


def test_a_layer_follows_what_is_put_in_place_of_its_psf_and_its_grid():
    lens, source = lens_of(LENS), Sersic(amplitude=2.0, R_sersic=0.3, n_sersic=1.0)
    layer = Render(pixel_scale=0.1, shape=32, psf=GaussianPSF(0.3, 0.1), supersampling=2)

    def change_psf():
        layer.psf = GaussianPSF(0.6, 0.1)

    def change_rays():
        layer.supersampling = 3

    def move_in_place():
        layer.x.add_(0.5)

    def move_data():
        layer.x.data = layer.x.data - 0.2

    for change in (change_psf, change_rays, move_in_place, move_data):
        before = layer(lens, source)
        change()
        found = layer(lens, source)
        rays = {"psf": layer.psf, "supersampling": layer.supersampling}
        assert torch.equal(found, render(lens, source, layer.x, layer.y, **rays))
        assert not torch.equal(found, before)


@pytest.mark.parametrize(("name", "value"), [("pixel_scale", 0.2), ("shape", (3, 3))])
def test_the_grid_of_a_layer_is_not_redefined(name, value):
    layer = RayTrace(pixel_scale=0.1, shape=4)
    with pytest.raises(AttributeError, match=name):
        setattr(layer, name, value)
