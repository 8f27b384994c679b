"""The reference backend: lenstronomy, through the same calls as DeepLenseSim."""

from __future__ import annotations

from typing import Any

import numpy as np
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.SimulationAPI.sim_api import SimAPI
from lenstronomy.Util import util
from numpy.typing import NDArray

from lensphys.cosmology import flat_lambda_cdm
from simulate.config import LensConfig
from simulate.instruments import Instrument
from simulate.scenes import Scene


class LenstronomyRenderer:
    """Renders scenes one by one, in float64.

    Args:
        camera: pixels and PSF. With a photometric band the image is made by ``SimAPI``, without
            one by ``ImageModel``, as DeepLenseSim does.
        lens: redshifts and cosmology; with a ``z_source_convention`` all deflectors are traced by
            lenstronomy's multi-plane lens.
    """

    def __init__(self, camera: Instrument, lens: LensConfig) -> None:
        self._camera, self._lens = camera, lens
        # Building the model costs as much as using it; it depends on the number of masses only.
        self._models: dict[int, Any] = {}

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        return np.stack([self._render_one(scene, i) for i in range(len(scene))])

    def _render_one(self, scene: Scene, i: int) -> NDArray[np.float64]:
        p = {name: float(values[i]) for name, values in scene.params.items()}
        main = {name: p[name] for name in ("theta_E", "e1", "e2", "center_x", "center_y")}
        kwargs_lens = [main, {"gamma1": p["gamma1"], "gamma2": p["gamma2"]}]
        rows = zip(scene.theta_E[i].tolist(), scene.x[i].tolist(), scene.y[i].tolist(), strict=True)
        kwargs_lens += [
            {"theta_E": theta_E, "center_x": x, "center_y": y} for theta_E, x, y in rows if theta_E
        ]
        names = ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        source = {name: p[f"source_{name}"] for name in names} | {"amp": p["source_amplitude"]}
        count = len(kwargs_lens) - 2
        if count not in self._models:
            self._models[count] = self._build(count)
        image: NDArray[np.float64] = self._models[count].image(kwargs_lens, [source], None, None)
        return image

    def _build(self, n_masses: int) -> Any:
        camera, lens = self._camera, self._lens
        lens_models = ["SIE", "SHEAR"] + ["POINT_MASS"] * n_masses
        if camera.band is None:
            return self._build_bare(lens_models)
        # A lower-resolution twin has the band of its instrument but its own pixels and PSF.
        band = {
            "pixel_scale": camera.pixel_scale,
            "seeing": camera.psf_fwhm,
            "psf_type": "GAUSSIAN",
            "exposure_time": camera.band.exposure_time,
            "num_exposures": camera.band.num_exposures,
            "magnitude_zero_point": camera.band.magnitude_zero_point,
            "sky_brightness": camera.band.sky_brightness,
            "read_noise": camera.band.read_noise,
            "ccd_gain": camera.band.ccd_gain,
        }
        model: dict[str, Any] = {
            "lens_model_list": lens_models,
            "source_light_model_list": ["SERSIC_ELLIPSE"],
        }
        if lens.z_source_convention is not None:
            c = lens.cosmology
            model |= {
                "lens_redshift_list": [lens.z_lens] * len(lens_models),
                "source_redshift_list": [lens.z_source],
                "z_source": lens.z_source,
                "z_source_convention": lens.z_source_convention,
                "cosmo": flat_lambda_cdm(c.H0, c.Om0, c.Ob0),
            }
        sim = SimAPI(numpix=camera.n_pix, kwargs_single_band=band, kwargs_model=model)
        return sim.image_model_class({"point_source_supersampling_factor": 1})

    def _build_bare(self, lens_models: list[str]) -> Any:
        camera, lens = self._camera, self._lens
        _, _, ra_0, dec_0, _, _, transform, _ = util.make_grid_with_coordtransform(
            numPix=camera.n_pix, deltapix=camera.pixel_scale, subgrid_res=1, inverse=False
        )
        data = ImageData(
            image_data=np.zeros((camera.n_pix, camera.n_pix)),
            ra_at_xy_0=ra_0,
            dec_at_xy_0=dec_0,
            transform_pix2angle=transform,
        )
        psf = PSF(
            psf_type="GAUSSIAN",
            fwhm=camera.psf_fwhm,
            pixel_size=camera.pixel_scale,
            truncation=camera.psf_truncation,
        )
        lens_model = LensModel(lens_models)
        if lens.z_source_convention is not None:
            c = lens.cosmology
            lens_model = LensModel(
                lens_models,
                z_source=lens.z_source,
                lens_redshift_list=[lens.z_lens] * len(lens_models),
                multi_plane=True,
                z_source_convention=lens.z_source_convention,
                cosmo=flat_lambda_cdm(c.H0, c.Om0, c.Ob0),
            )
        return ImageModel(
            data,
            psf,
            lens_model_class=lens_model,
            source_model_class=LightModel(["SERSIC_ELLIPSE"]),
            kwargs_numerics={"supersampling_factor": 1, "supersampling_convolution": False},
        )
