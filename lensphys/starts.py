"""Where a fit begins: templates of lensed sources, matched with the images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.bounds import check_names
from lensphys.parameters import Parameter
from lensphys.render import Pixels
from lensphys.scene import LensScene

#: Number of templates, a power of two for the balance of the Sobol sequence.
_TEMPLATES = 4096
#: Templates are compared on images of about this many pixels a side.
_SIDE = 32

#: What a scene starts from where neither a template nor the user says otherwise.
_NEUTRAL = {
    "gamma": 2.0,
    "source_n_sersic": 1.0,
    "lens_light_n_sersic": 3.0,
}


class Templates:
    """A quasi-random set of lensed sources that covers what images of a galaxy-scale lens show.

    Args:
        scene: what is fitted.
        pixels: of the images.
    """

    def __init__(self, scene: LensScene, pixels: Pixels) -> None:
        self._scene = scene
        self._factor = max(1, min(pixels.shape) // _SIDE)
        half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
        self.params = _spread(scene, half_field).to(pixels.x.device, pixels.x.dtype)
        maps = [
            self._binned(scene.image(scene.named(part), pixels)) for part in self.params.split(64)
        ]
        self._maps = torch.cat(maps).flatten(1)

    def best(self, images: Tensor, weight: Tensor, count: int) -> Tensor:
        """The parameters ``(B, count, P)`` of the templates that fit the images best.

        Each template has the amplitude that suits the image; of the images, ``weight`` is
        ``1 / sigma``.
        """
        inverse = self._binned(weight.square()).flatten(1)
        signal = self._binned(images * weight.square()).flatten(1)
        projection = signal @ self._maps.T
        power = inverse @ self._maps.square().T
        score = projection.clamp_min(0) ** 2 / power.clamp_min(torch.finfo(power.dtype).tiny)
        chosen = score.topk(count, dim=1).indices
        params = self.params[chosen].clone()
        amplitude = (projection / power).gather(1, chosen)
        column = self._scene.names.index("source_amplitude")
        params[..., column] = params[..., column] * amplitude
        return params

    def _binned(self, maps: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(maps, self._factor)


def _spread(scene: LensScene, half_field: float) -> Tensor:
    """Parameters ``(K, P)`` that fill the space of plausible lenses evenly."""
    u = torch.quasirandom.SobolEngine(6).draw(_TEMPLATES, dtype=torch.float64).T
    theta_E = half_field * 0.12 * (0.8 / 0.12) ** u[0]
    radius, angle = 0.8 * theta_E * u[1].sqrt(), 2 * torch.pi * u[2]
    modulus, phase = 0.35 * u[3].sqrt(), 2 * torch.pi * u[4]
    drawn = {
        "theta_E": theta_E,
        "e1": modulus * torch.cos(phase),
        "e2": modulus * torch.sin(phase),
        "source_amplitude": torch.ones_like(theta_E),
        "source_R_sersic": theta_E * 0.06 * (0.5 / 0.06) ** u[5],
        "source_center_x": radius * torch.cos(angle),
        "source_center_y": radius * torch.sin(angle),
    }
    neutral = {name: torch.full_like(theta_E, _NEUTRAL.get(name, 0.0)) for name in scene.names}
    return torch.stack(list((neutral | drawn).values()), -1)


def given_start(
    scene: LensScene, start: Mapping[str, Parameter], half_field: float, peak: Tensor
) -> Tensor:
    """Starting values ``(B, P)`` from those given, numbers or ``(B,)``, and neutral ones.

    Raises:
        ValueError: for an unknown name, a value that is not finite, or of a wrong shape.
    """
    check_names("start", start, scene.names)
    neutral = _NEUTRAL | {
        "theta_E": 0.4 * half_field,
        "source_R_sersic": 0.1 * half_field,
        "lens_light_R_sersic": 0.2 * half_field,
    }
    columns = []
    for name in scene.names:
        default = peak if name.endswith("amplitude") else neutral.get(name, 0.0)
        value = torch.as_tensor(start.get(name, default), dtype=peak.dtype, device=peak.device)
        if value.ndim and value.shape != peak.shape:
            raise ValueError(
                f"start of {name} must be a number or of shape {tuple(peak.shape)}, "
                f"got {tuple(value.shape)}"
            )
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"start of {name} must be finite")
        columns.append(value.expand(peak.shape))
    return torch.stack(columns, -1).detach()
