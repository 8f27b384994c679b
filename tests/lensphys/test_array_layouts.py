"""Arrays of every byte order, stride and precision, in all of the public interface."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lensphys as lp
from lensphys.light import LIGHTS
from lensphys.light.base import LightProfile
from lensphys.mass import MASSES, find_mass

Lay = Callable[[np.ndarray], Any]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def turned(array):
    """The same numbers with a negative stride along every axis."""
    axes = tuple(range(array.ndim))
    return np.flip(np.flip(array, axes).copy(), axes)


def spread(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


#: All of them hold the whole numbers of these tests exactly.
LAYOUTS = {
    "big-endian": lambda a: a.astype(">f8"),
    "big-endian in single precision": lambda a: a.astype(">f4"),
    "columns first": np.asfortranarray,
    "negative strides": turned,
    "not contiguous": spread,
    "read-only": read_only,
    "half precision": lambda a: a.astype(np.float16),
    "whole numbers": lambda a: a.astype(np.int64),
    "big-endian whole numbers": lambda a: a.astype(">i2"),
}

#: Positions, arcsec, and values of two images of a batch: whole numbers.
Y, X = (v.astype(float) for v in np.mgrid[-2:3, -3:4])
TWO = np.array([1.0, 2.0])
MAP = np.arange(35.0).reshape(5, 7) % 9

#: One of every profile, of two images, with all that may be an array as one.
PROFILES: dict[str, Callable[[Lay], dict[str, Any]]] = {
    "SIE": lambda lay: {"theta_E": lay(TWO), "e1": 0.1, "center_x": lay(TWO)},
    "EPL": lambda lay: {"theta_E": lay(TWO), "gamma": 2.1, "e1": 0.1, "center_y": lay(TWO)},
    "ConvergenceSheet": lambda lay: {"kappa": lay(TWO), "ra_0": lay(TWO)},
    "Multipole": lambda lay: {"m": 3, "a_m": 0.1, "phi_m": lay(TWO), "r_E": lay(TWO)},
    "NFW": lambda lay: {"Rs": lay(TWO), "alpha_Rs": lay(TWO)},
    "NIE": lambda lay: {"theta_E": lay(TWO), "s_scale": lay(TWO), "e1": 0.1},
    "PixelatedConvergence": lambda lay: {
        "kappa": lay(np.pad(MAP, 2)),
        "pixel_scale": 1.0,
        "center_x": lay(0 * TWO),
    },
    "PointMass": lambda lay: {"theta_E": lay(TWO), "center_x": 0.3},
    "SIS": lambda lay: {"theta_E": lay(TWO), "center_x": lay(TWO)},
    "Shear": lambda lay: {"gamma1": lay(TWO), "gamma2": 0.1},
    "TNFW": lambda lay: {"Rs": lay(TWO), "alpha_Rs": lay(TWO), "r_trunc": lay(3 * TWO)},
    "UniformLine": lambda lay: {"theta_E": lay(TWO), "half_length": lay(TWO), "center_x": 0.3},
    "Gaussian": lambda lay: {"amp": lay(TWO), "sigma": lay(TWO), "e1": 0.1},
    "MultiGaussian": lambda lay: {"amp": lay(np.stack([TWO, 2 * TWO])), "sigma": lay(TWO)},
    "PixelatedSource": lambda lay: {"image": lay(np.stack([MAP, 2 * MAP])), "pixel_scale": 1.0},
    "Ring": lambda lay: {"amp": lay(TWO), "R_ring": lay(TWO), "sigma": lay(TWO)},
    "Sersic": lambda lay: {"amplitude": lay(TWO), "R_sersic": lay(TWO), "n_sersic": lay(TWO)},
    "Shapelets": lambda lay: {"amp": lay(np.stack([MAP[0, :6]] * 2)), "n_max": 2, "beta": lay(TWO)},
    "Spiral": lambda lay: {
        "amplitude": lay(TWO),
        "R_sersic": lay(TWO),
        "n_sersic": 1.0,
        "arm_contrast": 0.5,
        "pitch": 0.4,
        "R_core": lay(TWO),
        "center_x": 0.3,
    },
}


def find_profile(name):
    return getattr(lp, name)


def evaluate_all(profile, x, y):
    """Every public map of a profile but its derivatives by the parameters."""
    if isinstance(profile, LightProfile):
        return [profile.surface_brightness(x, y), profile.mean_brightness(x, y, 1.0)]
    return [getattr(profile, name)(x, y) for name in ("potential", "deflection", "hessian")]


def differentiate_all(profile, x, y):
    if isinstance(profile, LightProfile):
        return [
            profile.surface_brightness_jacobian(x, y),
            profile.mean_brightness_jacobian(x, y, 1.0),
        ]
    return profile.deflection_jacobian(x, y)


def one(name, evaluate, lay):
    return evaluate(find_profile(name)(**PROFILES[name](lay)), lay(X), lay(Y))


def population(lay):
    members = lp.SIS(theta_E=lay(TWO), center_x=lay(TWO))
    mask = np.array([True, False])[::-1]
    return evaluate_all(lp.Population(members, mask=mask), lay(X), lay(Y))


def lens_of(lay):
    return lp.ThinLens(
        [lp.SIE(theta_E=lay(TWO), e1=0.1, center_x=0.3), lp.Shear(gamma1=0.1, gamma2=0.0)]
    )


MAPS = [
    "ray_trace",
    "deflection",
    "jacobian",
    "hessian",
    "convergence",
    "shear",
    "magnification",
    "fermat_potential",
]


def maps_of(lens, lay):
    return [getattr(lens, name)(lay(X), lay(Y)) for name in MAPS]


def thin_lens(lay):
    lens = lens_of(lay)
    return [
        *maps_of(lens, lay),
        lens.potential(lay(X), lay(Y)),
        lens.fermat_potential(lay(X), lay(Y), lay(TWO), lay(TWO)),
        lens.arrival_time(lay(X), lay(Y), lay(1000 * TWO)),
    ]


def multi_plane(lay):
    lens = lp.MultiPlane(
        [lp.SIE(theta_E=lay(TWO), e1=0.1, center_x=0.3), lp.SIS(theta_E=1.0, center_y=0.3)],
        [lay(TWO), lay(TWO + 1)],
        z_source=lay(TWO + 3),
        cosmology=lp.FlatLambdaCDM(H0=lay(np.array([70.0])), Om0=0.3),
    )
    return maps_of(lens, lay)


def source_of(lay):
    return lp.Sersic(amplitude=lay(TWO), R_sersic=0.5, n_sersic=1.0)


KERNEL = np.array([[0.0, 1, 0], [1, 4, 2], [0, 1, 1]])


def rendered(lay):
    psf = lp.PixelPSF(lay(np.stack([KERNEL, KERNEL.T])), 1.0, normalise=True)
    light = lp.MultiGaussian(amp=lay(TWO), sigma=lay(TWO))
    settings = {"psf": psf, "lens_light": light, "supersampling": 2}
    return lp.render(lens_of(lay), source_of(lay), lay(X), lay(Y), **settings)


def blurred(lay):
    centred, note = lp.centre_kernel(lay(KERNEL[:, :2]))
    psfs = [
        lp.PixelPSF(lay(KERNEL), 1.0, normalise=True),
        lp.PixelPSF(centred, 1.0, normalise=True),
        lp.GaussianPSF(lay(np.array([2.0])), 1.0),
        lp.MoffatPSF(lay(np.array([2.0])), lay(np.array([3.0])), 1.0),
    ]
    assert note is not None
    return [psf.convolve(lay(MAP)) for psf in psfs]


def layers(lay):
    settings = {"pixel_scale": 1.0, "shape": (5, 7)}
    planes = settings | {"source_pixel_scale": 1.0, "source_shape": (5, 7)}
    return [
        lp.RayTrace(**settings)(lens_of(lay)),
        lp.Render(**settings)(lens_of(lay), source_of(lay)),
        lp.ReLens(**planes)(lay(MAP), lens_of(lay)),
        lp.DeLens(**planes)(lay(MAP), lens_of(lay)),
    ]


def noise(lay):
    camera = lp.Noise(background_sigma=lay(TWO), exposure_time=lay(TWO))
    images = np.stack([MAP, 2 * MAP])
    noisy = camera.add(lay(images), torch.Generator().manual_seed(1))
    return [camera.sigma(lay(images)), noisy.isfinite()]  # what is drawn depends on the precision


def images_of_a_point(lay):
    lens = lp.ThinLens([lp.SIS(theta_E=lay(2 * TWO)), lp.Shear(gamma1=0.1, gamma2=0.0)])
    found = lp.image_positions(lens, lay(0 * TWO + 1), lay(0 * TWO), window=20.0)
    return [found.x, found.y, found.magnification, found.mask]


def fitted(lay):
    scene = lp.ThinLens([lp.SIE(theta_E=4.0, e1=0.1), lp.Shear(gamma1=0.02, gamma2=0.0)])
    source = lp.Sersic(amplitude=300.0, R_sersic=1.0, n_sersic=1.0, center_x=0.5)
    x, y = lp.pixel_grid(16, 1.0, dtype=torch.float64)
    images = lp.render(scene, source, x, y).round().numpy()[None].repeat(2, 0)
    sigma = np.full_like(images, 10.0)
    kernel = np.stack([KERNEL, KERNEL.T])
    psf = lp.PixelPSF(lay(kernel), 1.0, normalise=True)
    start = {"theta_E": lay(4 * np.ones(2)), "source_amplitude": lay(300 * np.ones(2))}
    result = lp.fit(
        lay(images),
        lay(sigma),
        pixel_scale=1.0,
        psf=psf,
        start=start,
        fixed={"center_x": lay(0 * TWO)},
        max_steps=1,
    )
    return [result.params["theta_E"], result.model, result.chi2_dof]


def detected(lay):
    lens = lp.ThinLens([lp.SIE(theta_E=3.0), lp.Shear(gamma1=0.02, gamma2=0.0)])
    source = lp.Sersic(amplitude=300.0, R_sersic=1.0, n_sersic=1.0)
    image = lp.render(lens, source, *lp.pixel_grid(12, 1.0, dtype=torch.float64))
    start = {"theta_E": 3.0, "gamma1": 0.02, "source_R_sersic": 1.0}
    result = lp.fit(image, 10.0, pixel_scale=1.0, start=start, max_steps=0)
    return lp.detect(result, z_lens=lay(TWO[:1]), z_source=lay(2 * TWO[:1])).error


#: Everything public that takes arrays, with those of one layout.
USES: dict[str, Callable[[Lay], Any]] = {
    **{name: functools.partial(one, name, evaluate_all) for name in PROFILES},
    **{
        f"derivatives of {name}": functools.partial(one, name, differentiate_all)
        for name in PROFILES
    },
    "Population": population,
    "ThinLens": thin_lens,
    "MultiPlane": multi_plane,
    "FlatLambdaCDM": lambda lay: lp.FlatLambdaCDM(H0=70.0, Om0=0.3).comoving_distance(
        lay(0 * TWO), lay(TWO)
    ),
    "render": rendered,
    "PixelPSF": blurred,
    "Render": layers,
    "Noise": noise,
    "image_positions": images_of_a_point,
    "sersic_total_flux": lambda lay: lp.sersic_total_flux(lay(TWO), lay(TWO), lay(TWO)),
    "fit": fitted,
    "detect": detected,
}
#: What is public and tested under another name, takes no arrays, or is made by us.
OTHERS = {
    *("GaussianPSF", "MoffatPSF", "centre_kernel", "RayTrace", "ReLens", "DeLens", "Fitter"),
    *("Lens", "MassProfile", "LightProfile", "pixel_grid", "instrument", "Instrument"),
    *("background_sigma", "sample", "FitResult", "Draws", "DetectionMaps", "ImagePositions"),
    *("CriticalCurve", "critical_curves", "from_lenstronomy", "to_lenstronomy", "LensSystem"),
    *("__version__",),
}


def flatten(value) -> list[Tensor]:
    if isinstance(value, dict):
        return flatten(list(value.values()))
    if isinstance(value, list | tuple):
        return [part for item in value for part in flatten(item)]
    return [torch.as_tensor(value).double()]


@functools.cache
def expected(name):
    return flatten(USES[name](torch.tensor))


def test_every_public_name_is_here():
    named = set(USES) | OTHERS
    assert set(MASSES) | set(LIGHTS) <= named
    assert {name for name in dir(lp) if name in lp.__all__} - named == set()
    assert all(find_mass(name) for name in MASSES)


#: What takes long, and the layout that it is tried with.
SLOW = ("fit", "detect", "image_positions", *(name for name in USES if name.startswith("deriv")))
FEW = ("big-endian in single precision",)


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name in USES for layout in (FEW if name in SLOW else LAYOUTS)],
)
def test_arrays_of_every_layout_are_taken_as_tensors_are(name, layout):
    found = flatten(USES[name](LAYOUTS[layout]))
    single = "single" in layout or "half" in layout
    tolerance = 2e-5 if single else 1e-12
    for value, right in zip(found, expected(name), strict=True):
        assert value.shape == right.shape
        scale = right[right.isfinite()].abs().max().item() if right.isfinite().any() else 1.0
        torch.testing.assert_close(
            value, right, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        )


@pytest.mark.parametrize("other", [torch.float32, torch.float64])
def test_an_array_beside_a_tensor_goes_along_in_the_finer_precision(other):
    x = torch.tensor(X, dtype=other)
    for y, precision in ((Y, torch.float64), (Y.astype(np.float16), other)):
        alpha_x, alpha_y = lp.SIE(theta_E=1.0).deflection(x, y)
        assert alpha_x.dtype == alpha_y.dtype == precision
        alpha_y, alpha_x = lp.SIE(theta_E=1.0).deflection(y, x)
        assert alpha_x.dtype == alpha_y.dtype == precision


def test_positions_may_have_a_unit_and_be_lists():
    units = pytest.importorskip("astropy.units")
    right = lp.SIE(theta_E=1.0).deflection(torch.tensor(X), torch.tensor(Y))
    for x, y in ((X / 60 * units.arcmin, Y * units.arcsec), (X.tolist(), Y.tolist())):
        torch.testing.assert_close(lp.SIE(theta_E=1.0).deflection(x, y), right)
    with pytest.raises(ValueError, match=r"^x must be given in arcsec, got a quantity in kg"):
        lp.SIE(theta_E=1.0).deflection(X * units.kg, Y)


@pytest.mark.parametrize("bad", [X > 0, X.astype(str), X * 1j, np.ma.masked_less(X, 0)])
def test_arrays_that_hold_no_positions_are_refused_by_name(bad):
    for call in (
        lambda: lp.Sersic(amplitude=1.0, R_sersic=1.0, n_sersic=1.0).surface_brightness(bad, Y),
        lambda: lens_of(torch.tensor).ray_trace(bad, Y),
        lambda: lp.render(lens_of(torch.tensor), source_of(torch.tensor), bad, Y),
    ):
        with pytest.raises(ValueError, match=r"^x must (be a tensor or an array|have no masked)"):
            call()


def test_positions_farther_than_single_precision_reaches_are_taken_in_double():
    at = np.array([[1e30, 2e30]], dtype=">f4")
    found = lp.SIS(theta_E=1.0).deflection(at, 0 * at)[0]
    assert found.tolist() == [[1.0, 1.0]]
    assert math.isclose(float(lp.SIS(theta_E=1.0).potential(at, 0 * at)[0, 0]), 1e30, rel_tol=1e-6)
