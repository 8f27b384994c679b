"""The reference backend: lenstronomy, through the same calls as DeepLenseSim."""

from __future__ import annotations

import dataclasses
import math
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
from simulate.backends import Rendered
from simulate.config import MULTIPOLES, MultiPlaneConfig
from simulate.scenes import Deflectors, Scene

if TYPE_CHECKING:
    from simulate.backends.torch import TorchRenderer
    from simulate.sources.galaxies import GalaxyImages

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
        tolerance: error of a pixel, in units of its noise, from which on it takes more rays, at
            most ``supersampling`` along a side; None: all pixels take so many.
        widest_psf: greatest width of the PSF of an image, over that of the instrument.
        galaxies: the sources, where they are not smooth.
    """

    def __init__(
        self,
        camera: Instrument,
        planes: MultiPlaneConfig | None = None,
        *,
        supersampling: int = 1,
        tolerance: float | None = None,
        widest_psf: float = 1.0,
        galaxies: GalaxyImages | None = None,
    ) -> None:
        self._camera, self._planes, self._galaxies = camera, planes, galaxies
        self._supersampling, self._tolerance = supersampling, tolerance
        self._widest_psf = widest_psf
        self._numerics = {
            "supersampling_factor": supersampling,
            "supersampling_convolution": False,
        }
        # Building the model costs as much as using it; it depends on the deflectors only.
        self._models: dict[tuple[str, ...], Any] = {}

    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        return self.render_parts(scene).total

    def render_parts(self, scene: Scene, *, twins: bool = False) -> Rendered:
        """Noise-free images (B, ny, nx): sources, light in the image plane, and twins if wanted."""
        source = self._sources(scene)
        twin = None
        if twins:
            twin, rows = source.copy(), scene.perturbed()
            twin[rows.numpy()] = self._sources(scene.without_substructure().select(rows))
        # lenstronomy has neither rings nor spiral arms: these are ours, in double precision.
        light = None if scene.foreground is None else self._ours().render_light(scene)
        return Rendered(source, light, twin)

    def _sources(self, scene: Scene) -> NDArray[np.float64]:
        """Images of the lensed sources alone."""
        n = self._camera.n_pix
        images = np.zeros((len(scene), n, n))
        lensed = range(len(scene)) if scene.lensed is None else scene.lensed.tolist()
        for i in lensed:
            if self._tolerance is None:
                images[i] = self._render_one(scene, i)
            else:
                images[i] = self._render_rays(scene, i)
        return images

    def _ours(self) -> TorchRenderer:
        """Our own renderer in double precision, for what lenstronomy does not have."""
        from simulate.backends.torch import TorchRenderer

        return TorchRenderer(
            self._camera,
            supersampling=self._supersampling,
            tolerance=self._tolerance,
            widest_psf=self._widest_psf,
            galaxies=self._galaxies,
            dtype=torch.float64,
        )

    def _render_rays(self, scene: Scene, i: int) -> NDArray[np.float64]:
        """The image of a source of ours, by rays that lenstronomy traces."""
        ours, one = self._ours(), dataclasses.replace(scene.select(torch.tensor([i])), lensed=None)
        source = ours.source(one)
        rays = ours.place_rays(ours.choose_levels(one, source))
        lenses = self._lenses(one, 0)
        model = LensModel([name for name, _ in lenses])
        at = (v.flatten().numpy() for v in (rays.x, rays.y))
        beta = model.ray_shooting(*at, [params for _, params in lenses])
        x, y = (torch.from_numpy(v).reshape(rays.x.shape) for v in beta)
        brightness = rays.collect(source.surface_brightness(x, y))
        image: NDArray[np.float64] = ours.collect(one, brightness)[0].numpy()
        return image

    def _lenses(self, scene: Scene, i: int) -> list[tuple[str, Params]]:
        """Deflectors of the i-th image: lenstronomy's name and parameters of each."""
        p = {name: float(values[i]) for name, values in scene.params.items()}
        center = {name: p[name] for name in ("center_x", "center_y")}
        main = {"e1": p["e1"], "e2": p["e2"], **center, "theta_E": p["theta_E_main"]}
        main |= {"gamma": p["gamma"]} if "gamma" in p else {}
        lenses = [(_lenstronomys_name(scene.main), main)]
        lenses += [("SHEAR", {"gamma1": p["gamma1"], "gamma2": p["gamma2"]})]
        for m in (m for m in MULTIPOLES if f"a{m}_cos" in p):
            a_cos, a_sin = p[f"a{m}_cos"], p[f"a{m}_sin"]
            amplitude = {"a_m": math.hypot(a_cos, a_sin), "phi_m": math.atan2(a_sin, a_cos) / m}
            lenses += [("MULTIPOLE", {"m": m, **amplitude, **center})]
        lenses += _deflectors(scene.companions, i)
        return lenses + list(_deflectors(scene.substructure, i))

    def _render_one(self, scene: Scene, i: int) -> NDArray[np.float64]:
        p = {name: float(values[i]) for name, values in scene.params.items()}
        lenses = self._lenses(scene, i)
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


def _deflectors(parts: Iterable[Deflectors], i: int) -> Iterator[tuple[str, Params]]:
    """Those of some deflectors that the i-th image has: lenstronomy's name and parameters."""
    for part in parts:
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
