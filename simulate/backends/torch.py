"""The fast backend: batched through :mod:`lensphys`, on a CPU or a CUDA device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from simulate.instruments import Instrument
from simulate.scenes import Scene


class TorchRenderer:
    """Renders batches of scenes through one instrument.

    Args:
        camera: pixels and PSF.
        device: ``cpu`` or ``cuda``.
        dtype: of the computation; images agree with lenstronomy to about 1e-6 of the peak in
            float32 and 1e-9 in float64.
    """

    def __init__(
        self, camera: Instrument, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self._device, self._dtype = device, dtype
        self._x, self._y = lp.pixel_grid(
            camera.n_pix, camera.pixel_scale, dtype=dtype, device=device
        )
        self._psf = lp.GaussianPSF(
            fwhm=camera.psf_fwhm, pixel_scale=camera.pixel_scale, truncation=camera.psf_truncation
        )

    @torch.inference_mode()
    def render(self, scene: Scene) -> NDArray[np.floating]:
        """Noise-free images (B, ny, nx), flux per pixel."""
        image = lp.render(self._lens(scene), self._source(scene), self._x, self._y, psf=self._psf)
        return image.expand(len(scene), *image.shape[-2:]).cpu().numpy()

    def _lens(self, scene: Scene) -> lp.ThinLens:
        sie = self._params(scene, "theta_E", "e1", "e2", "center_x", "center_y")
        shear = self._params(scene, "gamma1", "gamma2")
        deflectors: list[lp.MassProfile | lp.Population] = [lp.SIE(**sie), lp.Shear(**shear)]
        if scene.theta_E.shape[1]:
            theta_E, x, y = (
                t.to(self._device, self._dtype) for t in (scene.theta_E, scene.x, scene.y)
            )
            masses = lp.PointMass(theta_E=theta_E, center_x=x, center_y=y)
            deflectors.append(lp.Population(masses))
        return lp.ThinLens(deflectors, alpha_scale=scene.alpha_scale)

    def _source(self, scene: Scene) -> lp.Sersic:
        names = ("amplitude", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        params = self._params(scene, *(f"source_{name}" for name in names))
        return lp.Sersic(**dict(zip(names, params.values(), strict=True)))

    def _params(self, scene: Scene, *names: str) -> dict[str, float | Tensor]:
        """Parameters in the working precision; one number where all images share it.

        The published models have one macro lens, whose deflection is then computed once a batch.
        """
        params: dict[str, float | Tensor] = {}
        for name in names:
            values = scene.params[name]
            shared = bool((values == values[0]).all())
            params[name] = values[0].item() if shared else values.to(self._device, self._dtype)
        return params
