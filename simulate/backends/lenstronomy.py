"""The reference backend: lenstronomy, through the same calls as DeepLenseSim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.SimulationAPI.sim_api import SimAPI
from lenstronomy.Util import util
from numpy.typing import NDArray

from lensphys.cosmology import flat_lambda_cdm
from lensphys.instruments import Instrument
from simulate.scenes import Scene

if TYPE_CHECKING:
    from simulate.light.foreground import Foreground
    from simulate.sources.galaxies import GalaxyImages
from simulate.config import MultiPlaneConfig

#: Mass profiles that have another name in lenstronomy than here.
_NAMES = {"PointMass": "POINT_MASS"}

Params = dict[str, float]


class LenstronomyRenderer:
    """Renders scenes one by one, in float64.

    Args:
        camera: pixels and PSF. With a photometric band the image is made by ``SimAPI``, without
            one by ``ImageModel``, as DeepLenseSim does.
        planes: redshifts of a lens whose deflectors are traced by lenstronomy's multi-plane lens;
            None: a single plane.
        supersampling: rays along a side of a pixel.
        galaxies: the sources, where they are not smooth.
    """

    def __init__(
        self,
        camera: Instrument,
        planes: MultiPlaneConfig | None = None,
        *,
        supersampling: int = 1,
        galaxies: GalaxyImages | None = None,
    ) -> None:
        self._camera, self._planes, self._galaxies = camera, planes, galaxies
        self._supersampling = supersampling
        self._numerics = {
            "supersampling_factor": supersampling,
            "supersampling_convolution": False,
        }
        # Building the model costs as much as using it; it depends on the deflectors only.
        self._models: dict[tuple[str, ...], Any] = {}

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        n = self._camera.n_pix
        images = np.zeros((len(scene), n, n))
        lensed = range(len(scene)) if scene.lensed is None else scene.lensed.tolist()
        for i in lensed:
            images[i] = self._render_one(scene, i)
        if scene.foreground is not None:
            # lenstronomy has neither rings nor spiral arms: these are ours, in double precision.
            images += self._light(scene.foreground)
        return images

    def _light(self, foreground: Foreground) -> NDArray[np.float64]:
        from simulate.backends.torch import pixels_of

        pixels = pixels_of(self._camera, self._supersampling, torch.empty(0, dtype=torch.float64))
        return pixels.collect(pixels.brightness(foreground)).numpy()

    def _render_one(self, scene: Scene, i: int) -> NDArray[np.float64]:
        p = {name: float(values[i]) for name, values in scene.params.items()}
        main = {name: p[name] for name in ("e1", "e2", "center_x", "center_y")}
        main |= {"theta_E": p["theta_E_main"]} | ({"gamma": p["gamma"]} if "gamma" in p else {})
        lenses = [(_lenstronomys_name(scene.main), main)]
        lenses += [("SHEAR", {"gamma1": p["gamma1"], "gamma2": p["gamma2"]})]
        lenses += _substructure(scene, i)
        models = tuple(name for name, _ in lenses)
        if models not in self._models:
            self._models[models] = self._build(list(models))
        parameters = [params for _, params in lenses]
        image: NDArray[np.float64] = self._models[models].image(
            parameters, [self._source(p)], None, None
        )
        return image

    def _source(self, p: Params) -> dict[str, Any]:
        if self._galaxies is None:
            names = ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
            return {name: p[f"source_{name}"] for name in names} | {"amp": p["source_amplitude"]}
        number = int(p["source_stamp"])
        scale = p["source_R_sersic"] / self._galaxies.half_light_radius[number]
        return {
            "image": self._galaxies.stamps[number].astype(np.float64),
            "amp": p["source_flux"] / scale**2,
            "center_x": p["source_center_x"],
            "center_y": p["source_center_y"],
            "phi_G": p["source_angle"],
            "scale": scale,
        }

    @property
    def _source_models(self) -> list[str]:
        return ["SERSIC_ELLIPSE" if self._galaxies is None else "INTERPOL"]

    def _psf(self, width: str) -> dict[str, Any]:
        """The PSF, as lenstronomy takes it; it calls the width of a Gaussian by two names."""
        if self._camera.psf_beta is None:
            return {"psf_type": "GAUSSIAN", width: self._camera.psf_fwhm}
        kernel = self._camera.psf().kernel().numpy()
        return {"psf_type": "PIXEL", "kernel_point_source": kernel}

    def _build(self, lens_models: list[str]) -> Any:
        camera, planes = self._camera, self._planes
        if camera.band is None:
            return self._build_bare(lens_models)
        # A lower-resolution twin has the band of its instrument but its own pixels and PSF.
        band = {
            "pixel_scale": camera.pixel_scale,
            **self._psf("seeing"),
            "exposure_time": camera.band.exposure_time,
            "num_exposures": camera.band.num_exposures,
            "magnitude_zero_point": camera.band.magnitude_zero_point,
            "sky_brightness": camera.band.sky_brightness,
            "read_noise": camera.band.read_noise,
            "ccd_gain": camera.band.ccd_gain,
        }
        model: dict[str, Any] = {
            "lens_model_list": lens_models,
            "source_light_model_list": self._source_models,
        }
        if planes is not None:
            model |= {
                "lens_redshift_list": [planes.z_lens] * len(lens_models),
                "source_redshift_list": [planes.z_source],
                "z_source": planes.z_source,
                "z_source_convention": planes.z_source_convention,
                "cosmo": flat_lambda_cdm(**planes.cosmology.model_dump()),
            }
        sim = SimAPI(numpix=camera.n_pix, kwargs_single_band=band, kwargs_model=model)
        return sim.image_model_class(self._numerics | {"point_source_supersampling_factor": 1})

    def _build_bare(self, lens_models: list[str]) -> Any:
        camera, planes = self._camera, self._planes
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
            **self._psf("fwhm"),
            pixel_size=camera.pixel_scale,
            truncation=camera.psf_truncation,
        )
        lens_model = LensModel(lens_models)
        if planes is not None:
            lens_model = LensModel(
                lens_models,
                z_source=planes.z_source,
                lens_redshift_list=[planes.z_lens] * len(lens_models),
                multi_plane=True,
                z_source_convention=planes.z_source_convention,
                cosmo=flat_lambda_cdm(**planes.cosmology.model_dump()),
            )
        return ImageModel(
            data,
            psf,
            lens_model_class=lens_model,
            source_model_class=LightModel(self._source_models),
            kwargs_numerics=self._numerics,
        )


def _substructure(scene: Scene, i: int) -> Iterator[tuple[str, Params]]:
    """Deflectors of the i-th image beside its main lens: lenstronomy's name and parameters."""
    for part in scene.substructure:
        for row in (part.rows == i).nonzero()[:, 0].tolist():
            columns = [values[row].tolist() for values in part.params.values()]
            for each in zip(*columns, strict=True):
                params = dict(zip(part.params, each, strict=True))
                if not params.get("theta_E", params.get("alpha_Rs", 1.0)):
                    continue  # it fills a place of an image with fewer deflectors than others
                profiles: Iterable[tuple[str, Params]] = ((part.profile, params),)
                if part.in_lenstronomy is not None:
                    profiles = part.in_lenstronomy(params)
                for profile, values in profiles:
                    yield _lenstronomys_name(profile), values


def _lenstronomys_name(profile: str) -> str:
    return _NAMES.get(profile, profile)
