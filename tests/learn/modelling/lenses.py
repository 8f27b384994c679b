"""A lens with light, fitted in a second, as the command would hand it on."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import torch
from astropy.wcs import WCS

import lensphys as lp
from learn.modelling.lens_data import LensData
from learn.modelling.lens_model import LensModel
from lensphys.detection.maps import DetectionMaps

SHAPE, SCALE, SIGMA = (40, 48), 0.08, 0.02
TRUTH = {"theta_E": 1.0, "e1": 0.15, "e2": -0.1, "gamma1": 0.03, "gamma2": 0.02}


def make_wcs(
    shape: tuple[int, int] = SHAPE,
    pixel_scale: float = SCALE,
    angle: float = 0.0,
    mirrored: bool = False,
    ctype: tuple[str, str] = ("RA---TAN", "DEC--TAN"),
    crval: tuple[float, float] = (150.0, 60.0),
) -> WCS:
    """The middle of the image is at ``crval``; North is turned from +y towards -x by an angle."""
    turn, sign = np.deg2rad(angle), 1.0 if mirrored else -1.0
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ctype, crval
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = np.diag([sign, 1.0]) @ rotation * pixel_scale / 3600
    return wcs


@cache
def _fitted() -> tuple[LensData, Any]:
    x, y = lp.pixel_grid(SHAPE, SCALE)
    shear = lp.Shear(gamma1=TRUTH["gamma1"], gamma2=TRUTH["gamma2"])
    lens = lp.ThinLens([lp.SIE(**{k: TRUTH[k] for k in ("theta_E", "e1", "e2")}), shear])
    psf = lp.GaussianPSF(fwhm=0.1, pixel_scale=SCALE)
    source = lp.Sersic(amplitude=10.0, R_sersic=0.2, n_sersic=1.0, center_x=0.1, center_y=0.05)
    light = lp.Sersic(amplitude=10.0, R_sersic=0.5, n_sersic=3.0, e1=0.1, e2=0.05)
    image = lp.render(lens, source, x, y, psf=psf, lens_light=light)
    image = image + SIGMA * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    noise = torch.full(SHAPE, SIGMA)
    noise[:5, :7] = torch.inf
    result = lp.fit(image, noise, pixel_scale=SCALE, psf=psf, lens_light=True)
    data = LensData(
        name="J1234+5678",
        image=torch.where(torch.isinf(noise), 0.0, image).double().numpy(),
        noise=noise.double().numpy(),
        psf=np.ones((1, 1)),
        pixel_scale=SCALE,
        z_lens=0.3,
        z_source=1.0,
        wcs=make_wcs(),
        unit="adu",
        notes=["image.fits: extension 1, SCI"],
    )
    return data, result


def make_maps_of_detection(unit: str = "solar masses") -> DetectionMaps:
    """The S/N is the number of the column; the least mass that of the row from 1 on, times 1e8."""
    rows, columns = np.indices(SHAPE, dtype=np.float32)
    snr, least = torch.from_numpy(columns)[None], torch.from_numpy(1e8 * (rows + 1))[None]
    error = least / 5
    x, y = lp.pixel_grid(SHAPE, SCALE)
    return DetectionMaps(
        snr=snr,
        mass=snr * error,
        error=error,
        least_mass=least,
        snr_fixed=snr,
        error_fixed=error,
        angle=None,
        x=x,
        y=y,
        profile="point_mass",
        unit=unit,
    )


def modelled(
    flags: tuple[str, ...] = (), *, searched: bool = True, result: Any = None, **data: Any
) -> LensModel:
    """The model of a lens; ``data`` replaces that of the lens."""
    own, fitted = _fitted()
    return LensModel(
        data=dataclasses.replace(own, **data),
        result=result or fitted,
        flags=list(flags),
        maps=make_maps_of_detection() if searched else None,
        seconds=1.5,
    )
