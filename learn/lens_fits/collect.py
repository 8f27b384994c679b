"""Results of the library as lens fits, as they are kept: parameters, channels, maps, draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from learn.config import LensFitConfig
from learn.lens_fits.channels import CHANNELS, MASKED, high_pass
from learn.lens_fits.draws import DrawSettings, draw_groups
from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.maps import measure_response, search_masses
from lensphys.detection.absorption import Absorption, linearise
from lensphys.fitting.result import FitResult
from lensphys.fitting.scene import LensScene
from simulate.dataset.photometry import Photometry

#: Images that are linearised at once: the derivatives of an expansion are many.
_BLOCK = 16
#: Half-light radius of a Gaussian, in its standard deviations: the scale of shapelets as a size.
_HALF_LIGHT = math.sqrt(2 * math.log(2))


@dataclasses.dataclass(frozen=True, eq=False)
class DrawRequest:
    """Groups of masses to be drawn beside B fits.

    Attributes:
        settings: number and size of groups.
        seeds: one for each image.
    """

    settings: DrawSettings
    seeds: Sequence[int]

    def take(self, rows: Iterable[int]) -> DrawRequest:
        """Groups beside some of the fits."""
        return DrawRequest(self.settings, [self.seeds[i] for i in rows])


@torch.no_grad()
def collect(
    result: FitResult,
    flux: Tensor,
    photometry: Photometry,
    config: LensFitConfig,
    draws: DrawRequest | None = None,
) -> LensFits:
    """Lens fits on the CPU, their channels and draws in half precision.

    Args:
        result: of the fit of B images.
        flux: (B, H, W) that was fitted, e-/s.
        photometry: of the images.
        config: of the fits.
        draws: groups of masses to be drawn beside them; None for none.
    """
    values = torch.stack([result.params[name] for name in result.names], -1)
    every = torch.arange(len(flux), device=flux.device)
    z = result.problem.bounds.inverse(values.detach(), every)
    blocks = []
    for index in every.split(_BLOCK):
        near = linearise(result.problem, z[index], index)
        request = draws and draws.take(index.tolist())
        known = photometry.select(index.cpu().numpy())
        blocks.append(_measure(result, near, index, flux[index], known, config, request))
    parts = [torch.cat(part) if part[0] is not None else None for part in zip(*blocks, strict=True)]
    channels, statistics, changes, moments = parts
    assert channels is not None
    assert statistics is not None
    finite = channels.isfinite().flatten(1).all(1)
    names, table, covariance = _name_parameters(result, values)
    arrays = {
        "params": table.cpu().numpy(),
        "covariance": covariance.float().cpu().numpy(),
        "chi2_dof": result.chi2_dof.cpu().numpy(),
        "converged": (result.converged & finite.to(result.converged.device)).cpu().numpy(),
        "statistics": statistics.nan_to_num(0.0).float().cpu().numpy(),
    }
    fits = LensFits.of_arrays(names, arrays, _to_half(channels))
    if changes is not None and moments is not None:
        fits.draws, fits.moments = _to_half(changes), moments.nan_to_num(0.0).float().cpu()
    return fits


def _measure(
    result: FitResult,
    near: Absorption,
    index: Tensor,
    flux: Tensor,
    photometry: Photometry,
    config: LensFitConfig,
    draws: DrawRequest | None,
) -> tuple[Tensor | None, ...]:
    """Channels, statistics, and changes and moments of draws, of some images."""
    pixels = result.problem.pixels.take(index)
    response = measure_response(near, pixels)
    maps = search_masses(near, response)
    noise = photometry.mean_and_sigma(result.model[index])[1]
    padded = noise.isinf() & (photometry.padding is not None)
    noise = noise.masked_fill(padded, MASKED)
    sigma = torch.where(near.weight > 0, near.weight.reciprocal().to(flux), noise)
    residual = high_pass(flux) / sigma if config.residual == "high-pass" else near.residual
    params = {name: value[index] for name, value in result.params.items()}
    rate = torch.from_numpy(photometry.rate).to(sigma)[:, None, None]
    channels = {
        "residual": residual[:, None],
        "response": response,
        "source_plane": _trace(result, params, pixels.centers),
        "sigma": (sigma / rate).masked_fill(padded, MASKED)[:, None],
        "snr": maps.snr,
        "log_error": maps.log_error,
    }
    joined = CHANNELS.join({name: part.float() for name, part in channels.items()})
    if draws is None:
        return joined, maps.statistics, None, None
    drawn = draw_groups(response.float(), near, draws.settings, draws.seeds)
    return joined, maps.statistics, drawn.change, drawn.moments


def _trace(result: FitResult, params: dict[str, Tensor], centres: tuple[Tensor, Tensor]) -> Tensor:
    """Positions (B, 2, H, W) in the source plane, in half-light radii from the source."""
    beta = result.problem.scene.lens(params).ray_trace(*centres)
    size = _read_size(params)[:, None, None]
    places = [
        (place - params[f"source_center_{axis}"][:, None, None]) / size
        for axis, place in zip("xy", beta, strict=True)
    ]
    return torch.stack(places, 1)


def _read_size(params: dict[str, Tensor]) -> Tensor:
    """Half-light radius of the sources (B,), arcsec; of the first shapelet, for expansions."""
    if "source_R_sersic" in params:
        return params["source_R_sersic"]
    return _HALF_LIGHT * params["source_beta"]


def _name_parameters(result: FitResult, values: Tensor) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Names, values (B, P) and covariance (B, P, P) in the form that all fits have.

    An expansion has no Sersic index, ellipticity or amplitude of its source: they are those of a
    round disc of no light, with infinite variances.
    """
    if isinstance(result.scene, LensScene):
        return result.scene.names, values, result.covariance
    neutral = {"source_n_sersic": 1.0}
    found = {**result.params, "source_R_sersic": _read_size(result.params)}
    like = result.params["theta_E"]
    columns = [found.get(name, torch.full_like(like, neutral.get(name, 0.0))) for name in NAMES]
    own = ["source_beta" if name == "source_R_sersic" else name for name in NAMES]
    known = [k for k, name in enumerate(own) if name in result.names]
    places = [result.names.index(own[k]) for k in known]
    scale = values.new_tensor([_HALF_LIGHT if own[k] == "source_beta" else 1.0 for k in known])
    part = result.covariance[:, places][:, :, places] * scale[:, None] * scale
    covariance = torch.diag(values.new_full((len(NAMES),), math.inf)).nan_to_num(0.0, math.inf)
    covariance = covariance.repeat(len(values), 1, 1)
    rows = torch.tensor(known, device=values.device)
    covariance[:, rows[:, None], rows] = part.to(covariance)
    return NAMES, torch.stack(columns, 1), covariance


def _to_half(maps: Tensor) -> Tensor:
    return maps.nan_to_num(0.0).clamp(-MASKED, MASKED).half().cpu()
