"""Mock images of shining lenses, as the sky shows them, for tests of whole fits."""

import torch

import lensphys as lp

SCALE, SIGMA = 0.1, 0.01

PSF = lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE)

TRUTH = {"theta_E": 1.0, "e1": 0.1, "e2": -0.05, "gamma1": 0.03, "gamma2": -0.02}

KIND = {"pixel_scale": SCALE, "psf": PSF, "lens_light": "mge", "source": "shapelets"}


def make_image(
    shape=(32, 32),
    *,
    seed=0,
    offset=(0.0, 0.0),
    source=None,
    shining=True,
    mass=None,
    more=(),
    scale=SCALE,
    sigma=SIGMA,
):
    """A bulge and a disc, and a source behind them, float64."""
    x, y = lp.pixel_grid(shape, scale, dtype=torch.float64)
    centre = {"center_x": offset[0], "center_y": offset[1]}
    shear = lp.Shear(gamma1=TRUTH["gamma1"], gamma2=TRUTH["gamma2"])
    main = mass or lp.SIE(**{k: TRUTH[k] for k in ("theta_E", "e1", "e2")}, **centre)
    place = {"center_x": offset[0] + 0.08, "center_y": offset[1] + 0.05}
    if source is None:
        source = lp.Sersic(amplitude=10.0, R_sersic=0.15, n_sersic=1.0, e1=0.1, **place)
    bulge = lp.Sersic(amplitude=8.0, R_sersic=0.3, n_sersic=3.0, e1=0.05, e2=-0.03, **centre)
    disc = lp.Sersic(amplitude=1.5, R_sersic=1.2, n_sersic=1.0, e1=0.15, e2=-0.05, **centre)
    image = lp.render(
        lp.ThinLens([main, shear, *more]),
        source,
        x,
        y,
        psf=lp.GaussianPSF(fwhm=0.12, pixel_scale=scale),
        lens_light=[bulge, disc] if shining else None,
    )
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)).double()
    return image + sigma * noise
