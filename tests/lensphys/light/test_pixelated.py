"""A source given by the pixels of an image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LightModel.light_model import LightModel
from scipy.ndimage import map_coordinates

from lensphys import SIE, PixelatedSource, ThinLens, pixel_grid, render

PLACED = {"pixel_scale": 0.2, "amp": 1.7, "center_x": 0.11, "center_y": -0.06, "phi_G": 0.3}

MODES = ["linear", "cubic"]


def picture(*shape, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


IMAGE = picture(5, 8)


@pytest.fixture(scope="module")
def sky():
    """Wider than the image, so that some of it is empty."""
    x, y = pixel_grid((21, 30), 0.11, dtype=torch.float64)
    return x + 0.013, y - 0.007


def theirs(name, x, y, **parameters):
    light = LightModel([name])
    return light.surface_brightness(x.numpy().ravel(), y.numpy().ravel(), [parameters])


@settings(max_examples=25, deadline=None)
@given(
    ny=st.integers(1, 9),
    nx=st.integers(1, 9),
    scale=st.floats(0.05, 1),
    center=st.floats(-1, 1),
    phi_G=st.floats(-4, 4),
)
def test_linear_interpolation_is_lenstronomys_interpol(ny, nx, scale, center, phi_G):
    x, y = pixel_grid((11, 14), 0.31, dtype=torch.float64)
    image, placed = picture(ny, nx), {"amp": 1.7, "center_x": center, "center_y": 0.1}
    placed["phi_G"] = phi_G
    found = PixelatedSource(image=image, pixel_scale=scale, interpolation="linear", **placed)
    expected = theirs("INTERPOL", x, y, image=image.numpy(), scale=scale, **placed)
    brightness = found.surface_brightness(x, y).flatten()
    np.testing.assert_allclose(brightness, expected, rtol=0, atol=1e-11)


def test_linear_interpolation_is_scipys(sky):
    x, y = sky
    row, column = y.numpy() / 0.2 + 2, x.numpy() / 0.2 + 3.5
    expected = map_coordinates(IMAGE.numpy(), [row, column], order=1, mode="grid-constant")
    found = PixelatedSource(image=IMAGE, pixel_scale=0.2, interpolation="linear")
    np.testing.assert_allclose(found.surface_brightness(x, y), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_at_the_pixel_centres_the_brightness_is_that_of_the_pixels(mode):
    x, y = pixel_grid((5, 8), 0.2, dtype=torch.float64)
    source = PixelatedSource(image=IMAGE, pixel_scale=0.2, center_x=1.0, interpolation=mode)
    torch.testing.assert_close(source.surface_brightness(x + 1, y), IMAGE, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("mode", "degree"), [("linear", 1), ("cubic", 2)])
def test_a_smooth_image_is_interpolated_exactly(mode, degree):
    def surface(x, y):
        return (1 + 0.3 * x) ** degree * (2 - 0.4 * y) ** degree

    image = surface(*pixel_grid((9, 12), 0.5, dtype=torch.float64))
    x, y = pixel_grid((9, 7), 0.23, dtype=torch.float64)  # two pixels inside the edges
    source = PixelatedSource(image=image, pixel_scale=0.5, interpolation=mode)
    torch.testing.assert_close(
        source.surface_brightness(x, y), surface(x, y), rtol=1e-12, atol=1e-12
    )


def test_cubic_interpolation_has_a_continuous_slope():
    edges = (torch.arange(9, dtype=torch.float64) - 4)[None] * 0.2  # from pixel to pixel
    jumps = {}
    for mode in MODES:
        source = PixelatedSource(image=IMAGE, pixel_scale=0.2, interpolation=mode)
        slopes = []
        for side in (-1e-7, 1e-7):
            x = (edges + side + 0.1).requires_grad_()
            light = source.surface_brightness(x, torch.full_like(x, 0.03)).sum()
            slopes.append(torch.autograd.grad(light, x)[0])
        jumps[mode] = (slopes[1] - slopes[0]).abs().max().item()
    assert jumps["cubic"] < 1e-4
    assert jumps["linear"] > 1


@pytest.mark.parametrize("mode", MODES)
def test_around_the_image_there_is_no_light(mode, gradients):
    x = torch.tensor([[2.5, -2.5, 0.0, 0.0, 40.0]], dtype=torch.float64)
    y = torch.tensor([[0.0, 0.0, 2.5, -2.5, 40.0]], dtype=torch.float64)
    p = {"pixel_scale": 0.2, "center_x": 0.0, "center_y": 0.0, "x": x, "y": y}

    def brightness(p):
        placed = {k: p[k] for k in ("pixel_scale", "center_x", "center_y")}
        source = PixelatedSource(image=IMAGE, interpolation=mode, **placed)
        return source.surface_brightness(p["x"], p["y"])

    assert not brightness(p).any()
    assert not any(gradient.any() for gradient in gradients(brightness, p).values())


@pytest.mark.parametrize("mode", MODES)
def test_the_flux_is_the_sum_of_the_pixels_times_their_area(mode):
    x, y = pixel_grid((300, 400), 0.2 / 32, dtype=torch.float64)
    source = PixelatedSource(image=IMAGE, amp=2.0, pixel_scale=0.2, interpolation=mode)
    flux = source.surface_brightness(x, y).sum().item() * (0.2 / 32) ** 2
    assert flux == pytest.approx(2 * IMAGE.sum().item() * 0.2**2, rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_with_respect_to_everything_are_right(mode, check_gradients):
    x, y = (v[:3, :4] * 3 + 0.1 for v in pixel_grid((5, 7), 0.17, dtype=torch.float64))

    def brightness(p):
        placed = {k: p[k] for k in PLACED}
        source = PixelatedSource(image=p["image"], interpolation=mode, **placed)
        return source.surface_brightness(p["x"], p["y"])

    check_gradients(brightness, PLACED | {"image": IMAGE, "x": x, "y": y})


@pytest.mark.parametrize("mode", MODES)
def test_gradients_through_a_lens_are_right(mode, check_gradients):
    x, y = pixel_grid((3, 4), 0.31, dtype=torch.float64)
    lens = {"theta_E": 0.6, "e1": 0.1, "e2": -0.05, "center_x": 0.02, "center_y": -0.03}

    def image(p):
        source = PixelatedSource(image=p["image"], pixel_scale=0.2, interpolation=mode)
        return render(ThinLens([SIE(**{k: p[k] for k in lens})]), source, x, y, supersampling=2)

    check_gradients(image, lens | {"image": IMAGE})


@pytest.mark.parametrize("mode", MODES)
def test_forward_derivatives_are_backward_derivatives(mode, sky):
    def brightness(image, center_x):
        source = PixelatedSource(
            image=image, pixel_scale=0.2, center_x=center_x, interpolation=mode
        )
        return source.surface_brightness(*sky)

    at = (IMAGE, torch.tensor(0.11, dtype=torch.float64))
    tangents = (picture(5, 8, seed=6), torch.tensor(1.0, dtype=torch.float64))
    _, forward = torch.func.jvp(brightness, at, tangents)
    by_image, by_center = torch.autograd.functional.jacobian(brightness, at, vectorize=True)
    backward = (by_image * tangents[0]).sum((-2, -1)) + by_center
    torch.testing.assert_close(forward, backward, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_its_members_one_by_one(mode, sky):
    images, centres = picture(3, 5, 8), torch.tensor([-0.1, 0.0, 0.3], dtype=torch.float64)
    x, y = sky
    many_x = x + torch.tensor([0.0, 0.1, 0.2])[:, None, None]

    def brightness(image, center_x, x):
        source = PixelatedSource(
            image=image, pixel_scale=0.2, center_x=center_x, interpolation=mode
        )
        return source.surface_brightness(x, y)

    for batched in ("image", "center", "grid", "all"):
        chosen = [
            images if batched in ("image", "all") else images[1],
            centres if batched in ("center", "all") else centres[1],
            many_x if batched in ("grid", "all") else many_x[1],
        ]
        together = brightness(*chosen)
        assert together.shape == (3, 21, 30)
        for i in range(3):
            one = [v[i] if v.shape[:1] == (3,) else v for v in chosen]
            torch.testing.assert_close(together[i], brightness(*one), rtol=0, atol=1e-14)
    found = torch.func.vmap(lambda image: brightness(image, 0.1, x))(images)
    torch.testing.assert_close(found, brightness(images, 0.1, x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_float32_is_float64_to_six_digits(mode, sky):
    source = PixelatedSource(image=IMAGE, interpolation=mode, **PLACED)
    narrow = source.surface_brightness(*(v.float() for v in sky))
    assert narrow.dtype == torch.float32
    wide = source.surface_brightness(*sky)
    torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=3e-6)


@pytest.mark.parametrize("pixels", [IMAGE.numpy(), IMAGE.float(), (IMAGE * 10).long()])
def test_arrays_and_other_dtypes_are_taken(pixels, grid):
    source = PixelatedSource(image=pixels, pixel_scale=0.2)
    assert source.surface_brightness(*grid).dtype == torch.float64


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": torch.full((3, 3), math.nan)}, "^image must be finite"),
        ({"image": torch.ones(3)}, r"^image must be \(B, ny, nx\) or \(ny, nx\), got \(3,\)"),
        ({"image": torch.ones(2, 2, 3, 3)}, r"^image must be \(B, ny, nx\)"),
        ({"image": torch.ones(0, 3)}, r"^image must be \(B, ny, nx\)"),
        ({"image": "a.fits"}, "^image must be a tensor or an array, got str"),
        ({"interpolation": "nearest"}, "^interpolation must be linear or cubic, got nearest"),
        ({"pixel_scale": 0.0}, "^pixel_scale must be finite and in "),
        ({"amp": -1.0}, "^amp must be finite and in "),
        ({"center_x": math.nan}, "^center_x must be finite"),
        (
            {"image": torch.ones(2, 3, 3), "amp": torch.ones(3)},
            r"^image and parameters must share one batch shape, got image \(2, 3, 3\) .*\(3,\)",
        ),
    ],
)
def test_a_bad_picture_is_refused_by_name(changed, message):
    with pytest.raises(ValueError, match=message):
        PixelatedSource(**({"image": IMAGE, "pixel_scale": 0.1} | changed))
