"""Sources with structure, drawn without a file: a disc with a bulge, spiral arms and clumps."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from lensphys.ground.config import Strict
from simulate.distributions import AnyDistribution, check_within

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Modules that import torch are imported where light is painted: a configuration needs none.

Array = NDArray[np.float64]

#: Pixels on a side of a picture, and half its width in half-light radii of the disc. A pixel is a
#: tenth of that radius: as wide as the narrowest clump allowed.
SIZE, REACH = 80, 4.0
#: Part of the radius of a picture beyond which light fades out.
_FADES = 0.85
#: Least width of a clump, in half-light radii of the disc.
_NARROWEST = 0.1
#: Most clumps of a source.
MOST_CLUMPS = 12
#: Sersic index of the bulge, as of those of late types (Graham & Worley 2008, MNRAS 388, 1708).
_BULGE_INDEX = 1.0
#: Radius inside which arms fade and unwind, in half-light radii of the disc.
_CORE = 0.25
#: Scatter of the place of a clump along its circle, radians; its arm lies in the middle.
_OFF_ARM = 0.25
#: Innermost and outermost clumps, in half-light radii of the disc.
_CLUMPS = 0.3, 2.2
#: Rings of the sum over a disc.
_ANNULI = 200

#: Random numbers of a source: its own, and those of each clump.
_OWN, _OF_CLUMP = 8, 5
DRAWS = _OWN + _OF_CLUMP * MOST_CLUMPS

#: Columns of a data set that describe the structure; NaN where sources have none of it.
STRUCTURE_LABELS = (
    "source_bulge_share",
    "source_bulge_size",
    "source_arms",
    "source_arm_contrast",
    "source_pitch",
    "source_arm_angle",
    "source_n_clumps",
    "source_clump_share",
)


def _between(low: float, high: float) -> AfterValidator:
    return AfterValidator(lambda prior: check_within(prior, low, high))


Share = Annotated[AnyDistribution, _between(0.0, 1.0)]


class StructureConfig(Strict):
    """Bulge, spiral arms and clumps of a disc."""

    bulge_share: Share = Field(description="of the light")
    bulge_size: Annotated[AnyDistribution, _between(0.15, 1.0)] = Field(
        description="half-light radius over that of the disc"
    )
    arms: tuple[int, ...] = Field(description="numbers of arms, equally likely")
    arm_contrast: Annotated[AnyDistribution, _between(0.0, 3.0)] = Field(
        description="far out, crests are exp(2 arm_contrast) times as bright as between the arms"
    )
    pitch: Annotated[AnyDistribution, _between(8.0, 90.0)] = Field(description="degrees")
    clumps: float = Field(ge=0, le=8, description="mean of their Poisson number")
    clump_share: Share = Field(description="of the light, all clumps together")
    clump_size: Annotated[AnyDistribution, _between(_NARROWEST, 1.0)] = Field(
        description="standard deviation over the half-light radius of the disc"
    )

    @model_validator(mode="after")
    def _leaves_a_disc(self) -> Self:
        if not self.arms or not all(1 <= m <= 3 for m in self.arms):
            raise ValueError("arms must be numbers from 1 to 3, and at least one")
        if self.bulge_share.high + self.clump_share.high > 0.95:
            raise ValueError("bulge_share and clump_share must leave 5% of the light to the disc")
        return self


@dataclasses.dataclass(frozen=True)
class Structures:
    """Structure of the sources of B images; float64 on the CPU, radii in those of the disc."""

    labels: dict[str, Tensor]
    """(B,) columns by name, see :data:`STRUCTURE_LABELS`"""
    clumps: Tensor
    """(B, K, 4): flux in that of the source, place u, v in the plane of the disc, and width"""

    def __len__(self) -> int:
        return len(self.clumps)

    def select(self, rows: Tensor) -> Structures:
        """The structure of some of the images."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Structures(labels, self.clumps[rows])


def draw_structures(config: StructureConfig, u: Array) -> Structures:
    """Draw the structure of B sources.

    Args:
        config: its distributions.
        u: (DRAWS, B) random numbers from 0 to 1.
    """
    import torch
    from scipy.stats import poisson

    own, each = u[:_OWN], u[_OWN:].reshape(_OF_CLUMP, MOST_CLUMPS, -1)
    arms = np.array(config.arms)[(own[2] * len(config.arms)).astype(int)]
    pitch = np.radians(config.pitch.quantile(own[4]))
    pitch = np.where(own[5] < 0.5, pitch, math.pi - pitch)  # arms wind either way
    angle = 2 * math.pi * (own[5] * 2 % 1)
    number = np.minimum(poisson.ppf(own[6], config.clumps), MOST_CLUMPS)
    share = np.where(number > 0, config.clump_share.quantile(own[7]), 0.0)
    labels = {
        "source_bulge_share": config.bulge_share.quantile(own[0]),
        "source_bulge_size": config.bulge_size.quantile(own[1]),
        "source_arms": arms.astype(np.float64),
        "source_arm_contrast": config.arm_contrast.quantile(own[3]),
        "source_pitch": pitch,
        "source_arm_angle": angle,
        "source_n_clumps": number.astype(np.float64),
        "source_clump_share": share,
    }
    there = np.arange(MOST_CLUMPS)[:, None] < number
    # Exponential deviates: a few of the clumps have most of the light.
    weight = np.where(there, -np.log1p(-each[0]), 0.0)
    flux = share * weight / np.where(number > 0, weight.sum(0), 1.0).clip(min=1e-300)
    radius = _CLUMPS[0] + (_CLUMPS[1] - _CLUMPS[0]) * each[1]
    along = angle + 0.5 * np.log1p((radius / _CORE) ** 2) / np.tan(pitch)
    along = along + 2 * math.pi * np.floor(each[2] * arms) / arms
    along = along + _OFF_ARM * np.sqrt(3) * (2 * each[3] - 1)
    width = config.clump_size.quantile(each[4])
    clumps = np.stack([flux, radius * np.cos(along), radius * np.sin(along), width], -1)
    tensors = {name: torch.from_numpy(values) for name, values in labels.items()}
    return Structures(tensors, torch.from_numpy(clumps.swapaxes(0, 1).copy()))


def paint(structures: Structures, n_sersic: Tensor, like: Tensor) -> Tensor:
    """Pictures (B, SIZE, SIZE) of discs seen face-on, each of unit flux.

    Surface brightness in units of the flux over the square of the half-light radius of the disc,
    on pixels of :data:`REACH` such radii to either side. Arms run along logarithmic spirals
    (Kennicutt 1981, AJ 86, 1847) that unwind inside of a core, as those of
    :class:`lensphys.Spiral`, and move the light of the disc around without adding any.

    Args:
        structures: of B sources.
        n_sersic: (B,) indices of the discs.
        like: precision and device of the pictures.
    """
    import torch

    from lensphys.products import product

    grid = _grid(like.dtype, like.device)
    p = {name: values.to(like)[:, None, None] for name, values in structures.labels.items()}
    disc = _sersic(grid.log_r, n_sersic.to(like)[:, None, None])
    contrast, arms = p["source_arm_contrast"], p["source_arms"]
    # tan from double precision: it is steep where a pitch is near a right angle.
    turns = arms / torch.tan(structures.labels["source_pitch"]).to(like)[:, None, None]
    phase = arms * (grid.phi - p["source_arm_angle"]) - turns * grid.winding
    crests = torch.exp(contrast * (torch.cos(phase) - 1)) / torch.special.i0e(contrast)
    disc = disc * (1 + grid.rise * (crests - 1))
    size = p["source_bulge_size"]
    bulge = _sersic(grid.log_r - torch.log(size), torch.full_like(size, _BULGE_INDEX))
    clumps = structures.clumps.to(like)
    flux, u, v, width = (clumps[..., k, None] for k in range(4))
    across, upwards = (torch.exp(-0.5 * ((grid.axis - at) / width) ** 2) for at in (u, v))
    knots = product((flux / width**2 * upwards).mT, across) / (2 * math.pi)
    b_share, c_share = p["source_bulge_share"], p["source_clump_share"]
    smooth = (1 - b_share - c_share) * _of_unit_flux(disc * grid.window)
    picture = smooth + b_share * _of_unit_flux(bulge * grid.window) + knots * grid.window
    return _of_unit_flux(picture)


def disc_amplitude(n_sersic: Tensor) -> Tensor:
    """Surface brightness of discs of unit flux at their half-light radius, without arms (B,).

    In units of the flux over the square of that radius. Of discs as they are painted, whose light
    fades out at the edge of a picture.

    Args:
        n_sersic: (B,) indices, float64.
    """
    import torch

    # Midpoints in the square root of the radius: light gathers in the middle.
    root = (torch.arange(_ANNULI, dtype=torch.float64) + 0.5) / _ANNULI
    r = REACH * root**2
    area = 2 * math.pi * r * (2 * REACH * root / _ANNULI)
    light = _sersic(torch.log(_soften(r**2)), n_sersic[:, None]) * _window(r)
    return 1 / (light * area).sum(-1)


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedSource:
    """Galaxies with structure on the sky, as a light profile of B images.

    Args:
        picture: (B, S, S), see :func:`paint`.
        flux: (B,) in all; everything below likewise.
        R_sersic: circularised half-light radius of the disc, arcsec.
        e1, e2: ellipticity of the disc, which is a circle seen at an angle.
        center_x, center_y: arcsec.
    """

    picture: Tensor
    flux: Tensor
    R_sersic: Tensor
    e1: Tensor
    e2: Tensor
    center_x: Tensor
    center_y: Tensor

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2 (B, ny, nx) at ``x, y`` (arcsec), bicubic between the pixels."""
        import torch

        from lensphys.ellipticity import stretch

        columns = (self.flux, self.R_sersic, self.e1, self.e2, self.center_x, self.center_y)
        flux, R, e1, e2, cx, cy = (values.to(x)[:, None, None] for values in columns)
        scale = torch.rsqrt(1 - e1 * e1 - e2 * e2) / (R * REACH)
        u, v = stretch(scale * (x - cx), scale * (y - cy), e1, e2)
        # grid_sample has the outer edges of the picture at -1 and 1.
        places = torch.stack([u, v], -1).clamp(-4, 4)
        found = torch.nn.functional.grid_sample(
            self.picture.to(x)[:, None], places, mode="bicubic", align_corners=False
        )[:, 0]
        # Cubic interpolation swings below zero beside a sharp clump.
        brightness: Tensor = found.clamp_min(0) * (flux / R**2)
        return brightness


@dataclasses.dataclass(frozen=True)
class _Grid:
    """Maps of the plane of a disc that all pictures share."""

    axis: Tensor
    log_r: Tensor
    phi: Tensor
    winding: Tensor
    rise: Tensor
    window: Tensor


@functools.lru_cache(maxsize=4)
def _grid(dtype: torch.dtype, device: torch.device) -> _Grid:
    import torch

    # Outside inference mode even when called in it, since the grid outlives the call.
    with torch.inference_mode(False):
        axis = (torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2) * (2 * REACH / SIZE)
        v, u = torch.meshgrid(axis, axis, indexing="ij")
        r2 = u * u + v * v
        w = r2 + _CORE**2
        maps = (
            axis,
            torch.log(_soften(r2)),
            torch.atan2(v, u),
            0.5 * torch.log(w) - math.log(_CORE),
            r2 / w,
            _window(torch.sqrt(r2)),
        )
        return _Grid(*(values.to(device, dtype) for values in maps))


def _soften(r2: Tensor) -> Tensor:
    """Radii, of their squares; the four innermost pixels take the mean one of their areas."""
    import torch

    return torch.sqrt(r2 + (0.3 * 2 * REACH / SIZE) ** 2)  # 0.765 of a pixel there


def _window(r: Tensor) -> Tensor:
    """Part of the light that is left at radii near the edge of a picture."""
    import torch

    outside = ((r / REACH - _FADES) / (1 - _FADES)).clamp(0, 1)
    return torch.cos(0.5 * math.pi * outside) ** 2


def _sersic(log_r: Tensor, n: Tensor) -> Tensor:
    """Sersic profile of unit amplitude at ``log(R / R_sersic)``."""
    import torch

    from lensphys.light.sersic import b_n

    b = b_n(n)
    return torch.exp(b - b * torch.exp(log_r / n))


def _of_unit_flux(picture: Tensor) -> Tensor:
    """Maps divided by their flux, in units of the square of the half-light radius."""
    total = picture.sum((-2, -1), keepdim=True) * (2 * REACH / SIZE) ** 2
    unit: Tensor = picture / total
    return unit
