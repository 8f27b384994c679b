"""The position of the sliders as a program in Python."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np

import lensphys as lp
from learn.explore.knobs import Values, start_of_fit
from learn.explore.view import Explorer, Switches


def write_python(explorer: Explorer, values: Values, switches: Switches) -> str:
    """A program that renders the image of the sliders.

    Args:
        explorer: lens and image of the page.
        values: where the sliders stand.
        switches: the groups that count.
    """
    observation = explorer.observation
    start = start_of_fit(values, lens_light=switches.lens_light)
    ny, nx = observation.shape
    lines = ["import lensphys as lp", ""]
    lines += _psf(explorer, values)
    lines += [
        f"x, y = lp.pixel_grid(({ny}, {nx}), {_number(observation.pixel_scale)})",
        "lens = lp.ThinLens(",
        "    [",
        f"        lp.EPL({_arguments(lp.EPL.parameter_names(), values)}),",
        f"        lp.Shear({_arguments(('gamma1', 'gamma2'), values)}),",
    ]
    if switches.subhalo:
        mass = explorer.subhalo(values)
        about = {name: float(getattr(mass, name)) for name in mass.parameter_names()}
        z_lens, z_source = _number(observation.z_lens), _number(observation.z_source)
        comment = f"  # {10.0 ** values['log10_mass']:.3g} solar masses, z {z_lens} and {z_source}"
        lines.append(f"        lp.PointMass({_arguments(about, about)}),{comment}")
    lines += ["    ]", ")"]
    parts = {"source": "source"} | ({"lens_light": "lens_light"} if switches.lens_light else {})
    for part in parts:
        names = lp.Sersic.parameter_names()
        own = {name: start[f"{part}_{name}"] for name in names}
        lines.append(f"{part} = lp.Sersic({_arguments(names, own)})")
    light = ", lens_light=lens_light" if switches.lens_light else ""
    lines.append(f"image = lp.render(lens, source, x, y, psf=psf{light})")
    return "\n".join(lines) + "\n"


def _psf(explorer: Explorer, values: Values) -> list[str]:
    scale = _number(explorer.observation.pixel_scale)
    psf = explorer.psf(values)
    if psf is None:
        return ["psf = None"]
    if isinstance(psf, lp.GaussianPSF):
        fwhm = _number(float(psf.fwhm))
        return [f"psf = lp.GaussianPSF(fwhm={fwhm}, pixel_scale={scale})"]
    if isinstance(psf, lp.MoffatPSF):
        about = f"fwhm={_number(float(psf.fwhm))}, beta={_number(float(psf.beta))}"
        return [f"psf = lp.MoffatPSF({about}, pixel_scale={scale})"]
    assert isinstance(psf, lp.PixelPSF)
    kernel = np.asarray(psf.kernel, "<f4")
    text = base64.b64encode(kernel.tobytes()).decode("ascii")
    return [
        "import base64",
        "",
        "import numpy as np",
        "",
        f'kernel = np.frombuffer(base64.b64decode("{text}"), "<f4").reshape{kernel.shape}',
        f"psf = lp.PixelPSF(kernel, {scale}, normalise=True)",
    ]


def _arguments(names: Iterable[str], values: Values) -> str:
    return ", ".join(f"{name}={_number(values[name])}" for name in names)


def _number(value: float) -> str:
    return f"{value:.6g}"
