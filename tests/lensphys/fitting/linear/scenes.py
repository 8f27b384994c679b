"""Components, scenes and mock lenses that the tests of linear fits share."""

import torch

import lensphys as lp
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.linear.components import Sky
from lensphys.fitting.linear.gaussians import GaussianLight, GaussianSource
from lensphys.fitting.linear.multiscale import MultiscaleSource
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.separable import PixelSource, ShapeletSource
from lensphys.fitting.linear.sersics import SersicComponent
from lensphys.fitting.priors import Priors
from lensphys.rendering import Pixels

SCALE = 0.1

PSF = lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE)

PLACE = {"source_center_x": (0.07, 0.02), "source_center_y": (-0.05, 0.03)}

#: Parameters of two images by component, other than those of place.
SHAPES = {
    "source_beta": (0.11, 0.08),
    "source_size": (0.45, 0.4),
    "source_R_sersic": (0.2, 0.3),
    "source_n_sersic": (1.2, 2.0),
    "source_e1": (0.1, -0.2),
    "source_e2": (-0.15, 0.05),
    "lens_light_center_x": (0.02, -0.03),
    "lens_light_center_y": (0.01, 0.04),
    "lens_light_e1": (0.12, -0.1),
    "lens_light_e2": (-0.06, 0.2),
    "lens_light_outer_e1": (0.05, 0.0),
    "lens_light_outer_e2": (0.15, -0.1),
    "lens_light_R_sersic": (0.4, 0.6),
    "lens_light_n_sersic": (2.0, 3.0),
    "theta_E": (0.9, 1.0),
    "gamma": (2.1, 1.9),
    "e1": (0.1, -0.1),
    "e2": (0.05, 0.12),
    "center_x": (0.01, -0.02),
    "center_y": (0.0, 0.03),
    "gamma1": (0.03, -0.02),
    "gamma2": (-0.04, 0.01),
}


def pixels_of(shape=(20, 24), psf=PSF, supersampling=1, dtype=torch.float64):
    x, y = lp.pixel_grid(shape, SCALE, dtype=dtype)
    return Pixels(x, y, psf=psf, supersampling=supersampling)


def params_of(names, dtype=torch.float64):
    """Parameters of two images by name."""
    known = {**PLACE, **SHAPES}
    return {name: torch.tensor(known[name], dtype=dtype) for name in names}


def amplitudes_of(component, seed=0):
    """Amplitudes of two images, of either sign where they may have it."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, component.count, generator=generator, dtype=torch.float64)
    return drawn.abs() if component.positive else drawn


def components_of(pixels):
    """Every kind of component by name; sources, then lens light, then the sky."""
    return {
        "shapelets": ShapeletSource(5),
        "two scales": MultiscaleSource([(4, 1.0), (2, 2.5)]),
        "pixels": PixelSource(7),
        "gaussians": GaussianSource(torch.tensor([0.1, 0.25])),
        "sersic source": SersicComponent("source_"),
        "sersic light": SersicComponent("lens_light_", pixels),
        "one ellipse": GaussianLight(pixels, 1),
        "two ellipses": GaussianLight(pixels),
        "sky": Sky(pixels, 2),
    }


SOURCES = ("shapelets", "two scales", "pixels", "gaussians", "sersic source")
LIGHTS = ("sersic light", "one ellipse", "two ellipses")


def scene_of(pixels, source="shapelets", light="two ellipses", sky=0, mass="SIE", **deflectors):
    """A scene of components by name; ``sky`` is an order, or None."""
    known = components_of(pixels)
    return LinearScene(
        Deflectors(mass, **deflectors),
        [known[source]] if source else [],
        [known[light]] if light else [],
        sky=None if sky is None else Sky(pixels, sky),
    )


def problem_of(scene, pixels, *, fixed=None, priors=None, owner=None, dtype=torch.float64):
    """Noisy images of a scene's own parameters, one row masked; the objective of their fit."""
    names = scene.names
    params = params_of(names, dtype)
    generator = torch.Generator().manual_seed(3)
    shape = (2, *pixels.shape)
    x, y = pixels.centers
    lens = lp.ThinLens([lp.SIE(theta_E=torch.tensor([0.92, 0.97]).to(x), e1=0.1, e2=0.05)])
    source = lp.Sersic(amplitude=30.0, R_sersic=0.2, n_sersic=1.0, center_x=0.1, center_y=0.03)
    light = lp.Sersic(amplitude=30.0, R_sersic=0.4, n_sersic=2.0, e1=0.1, e2=0.05)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    clean = lp.render(lens, source, x, y, psf=PSF, lens_light=light)
    images = (clean.double() + 0.02 * noise + 0.03).to(dtype)
    weight = torch.full_like(images, 50.0)
    weight[:, 4] = 0.0
    half_field = 0.5 * SCALE * min(pixels.shape)
    owner = torch.arange(2) if owner is None else owner
    peak = images.new_ones(len(owner))
    bounds = Bounds(scene.ranges, half_field, peak, {}, fixed)
    given = None if priors is None else Priors.read(priors, names, peak)
    problem = LinearProblem(scene, pixels, bounds, images, weight, priors=given, owner=owner)
    values = torch.stack([params[name] for name in names], 1)[owner]
    return problem, bounds.inverse(values, torch.arange(len(owner)))
