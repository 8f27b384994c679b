"""All images of a point source: the roots of the lens equation."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor

from lensphys.lens import Lens
from lensphys.parameters import Parameter, check_window, read_parameter

Order = Literal["arrival", "magnification"]

#: Halvings of the cells of the first grid, and further ones where the mapping is far from linear.
_LEVELS, _MORE_LEVELS = 5, 24
#: A cell is kept while the source lies in the box around its nine samples in the source plane,
#: widened on each side by this part of the larger side: the mapping is not linear inside a cell.
_MARGIN = 0.5
#: A cell is halved further where its samples are off a linear mapping by this part of that side.
_ROUGH = 0.2
_NEWTON_STEPS = 40
#: Largest distance of a root from the cell that it was found from, in half widths of the cell.
_FARTHEST = 10.0
#: Roots nearer than this (arcsec) are one image.
_SAME = 1e-7
#: Accepted distance to the source, arcsec, where the last digit of the position is below that.
_ACCURACY = 1e-10
#: Fainter roots are those inside the numerical core of a singular profile, which has no image.
_FAINTEST = 1e-14
#: Images beyond one for each deflector from which on they are points of a ring.
_MOST = 100


@dataclasses.dataclass(frozen=True, eq=False)
class ImagePositions:
    """Images of a point source, or of a batch of them, padded with zeros.

    Attributes:
        x, y: positions, arcsec, float64, of shape ``(N,)`` or ``(B, N)``.
        magnification: signed magnifications, of the same shape; negative at saddle points.
        mask: true for entries that are images, of the same shape.
    """

    x: Tensor
    y: Tensor
    magnification: Tensor
    mask: Tensor


def image_positions(
    lens: Lens,
    beta_x: Parameter,
    beta_y: Parameter,
    *,
    window: float,
    n_pix: int = 64,
    center_x: float = 0.0,
    center_y: float = 0.0,
    order: Order = "arrival",
) -> ImagePositions:
    """Find every image of a point source inside a square window.

    Cells of a grid whose image in the source plane may contain the source are halved again and
    again, down to 1e-9 of a cell at the centres of deflectors and wherever else the mapping is far
    from linear; Newton's method takes the middle of each remaining cell to a root. The search
    carries no gradients. One more Newton step with the Jacobian held fixed, ``theta - A^-1
    (beta(theta) - beta_s)``, gives the positions the first derivatives of the implicit function in
    every parameter of lens and source; derivatives of second order are not those of the images.

    Args:
        lens: one lens, or a batch of ``B`` of them.
        beta_x, beta_y: source position, arcsec: numbers, or tensors of shape ``(B,)``.
        window: width of the square to search, arcsec; it must hold all images.
        n_pix: cells on a side of the first grid.
        center_x, center_y: middle of the square, arcsec.
        order: ``"arrival"``, first to arrive first, or ``"magnification"``, brightest first.

    Returns:
        Positions, magnifications and a mask, of shape ``(N,)`` for one source and one lens, or
        ``(B, N)`` with the largest number of images of any source. An image closer than 1e-7
        arcsec to another is counted once, one fainter than 1e-14 not at all.

    Raises:
        ValueError: for a window, its middle or a source that is not finite, fewer than 4 cells,
            sources and lenses that do not go together, and a source whose image is a ring.
    """
    check_window(window, n_pix, center_x, center_y)
    beta_x = read_parameter("beta_x", beta_x, "arcsec")
    beta_y = read_parameter("beta_y", beta_y, "arcsec")
    if order not in ("arrival", "magnification"):
        raise ValueError(f"order must be 'arrival' or 'magnification', got {order!r}")
    given = (beta_x, beta_y)
    device = next((v.device for v in given if isinstance(v, Tensor)), None)
    s_x, s_y = (torch.as_tensor(v, dtype=torch.float64, device=device) for v in given)
    batch = lens.batch_with(beta_x=s_x.shape, beta_y=s_y.shape)
    if len(batch) > 1:
        raise ValueError(f"beta_x and beta_y must be numbers or of shape (B,), got batch {batch}")
    # From here on every map is (B, 1, N): a list of points for each source.
    s_x, s_y = (v.expand(batch or (1,))[:, None, None] for v in (s_x, s_y))

    with torch.no_grad():
        search = _Search(lens, s_x.detach(), s_y.detach(), _centres(lens, s_x))
        x, y, found = search.images(window, n_pix, center_x, center_y)
        key = lens.fermat_potential(x, y) if order == "arrival" else -lens.magnification(x, y).abs()
        rank = torch.where(found, key, math.inf).argsort(dim=-1)
        x, y, found = (v.gather(-1, rank) for v in (x, y, found))
        # What pads the list must not sit on a singularity, whose gradient would be NaN times 0.
        any_found = found.any(-1, keepdim=True)
        x = x.where(found, x[..., :1].where(any_found, center_x + 0.5 * window))
        y = y.where(found, y[..., :1].where(any_found, center_y + 0.5 * window))
        xx, xy, yx, yy = lens.jacobian(x, y)
        inverse = torch.where(found, 1 / (xx * yy - xy * yx), 0.0)
    at_x, at_y = lens.ray_trace(x, y)
    off_x, off_y = at_x - s_x, at_y - s_y
    x, y = x - inverse * (yy * off_x - xy * off_y), y - inverse * (xx * off_y - yx * off_x)
    magnification = lens.magnification(x, y)
    maps = [torch.where(found, v, 0.0)[:, 0] for v in (x, y, magnification)] + [found[:, 0]]
    return ImagePositions(*(maps if batch else [v[0] for v in maps]))


@dataclasses.dataclass(frozen=True, eq=False)
class _Search:
    """Roots of the lens equation for sources ``(B, 1, 1)``; points are ``(B, 1, N)``."""

    lens: Lens
    s_x: Tensor
    s_y: Tensor
    #: Centres of the deflectors, ``(B or 1, 1, K)``.
    centres: tuple[Tensor, Tensor]

    def images(
        self, window: float, n_pix: int, center_x: float, center_y: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find roots, and which of them are images, ``(B, 1, N)``."""
        half = 0.5 * window / n_pix
        index = torch.arange(n_pix, dtype=torch.float64, device=self.s_x.device)
        middle = (2 * index - (n_pix - 1)) * half
        y, x = torch.meshgrid(center_y + middle, center_x + middle, indexing="ij")
        # The first grid is one for all sources, so that its rays are traced once for all of them.
        x, y = x.reshape(1, 1, -1), y.reshape(1, 1, -1)
        alive, _ = self._examine(x, y, half)
        batch = self.s_x.shape[0]
        x, y, alive = _pack(x.expand(batch, -1, -1), y.expand(batch, -1, -1), alive)

        retired = []
        for level in range(1, _LEVELS + _MORE_LEVELS + 1):
            half /= 2
            x = torch.cat([x - half, x + half, x - half, x + half], -1)
            y = torch.cat([y - half, y - half, y + half, y + half], -1)
            held, rough = self._examine(x, y, half)
            alive = alive.repeat(1, 1, 4) & held
            if level >= _LEVELS:
                rough = rough & (level < _LEVELS + _MORE_LEVELS)
                at_x, at_y, held = _pack(x, y, alive & ~rough)
                retired.append((at_x, at_y, held, torch.full_like(at_x, half)))
                alive = alive & rough
            x, y, alive = _pack(x, y, alive)
            if level >= _LEVELS and not x.shape[-1]:
                break
        x, y, alive, size = (torch.cat(parts, -1) for parts in zip(*retired, strict=True))
        x, y, alive = self._newton(x, y, alive, size)
        edge = 0.5 * window * (1 + 1e-12)
        alive &= ((x - center_x).abs() <= edge) & ((y - center_y).abs() <= edge)
        return self._keep_distinct(*_pack(x, y, alive))

    def _examine(self, x: Tensor, y: Tensor, half: float) -> tuple[Tensor, Tensor]:
        """Tell which cells may hold an image, and in which the mapping is far from linear."""
        step = torch.tensor([-half, 0.0, half], dtype=x.dtype, device=x.device)
        at_x, at_y = x + step.repeat(3)[:, None], y + step.repeat_interleave(3)[:, None]
        beta = torch.stack(self.lens.ray_trace(at_x, at_y))
        low, high = beta.amin(-2, keepdim=True), beta.amax(-2, keepdim=True)
        width = (high - low).amax(0)
        source, margin = torch.stack([self.s_x, self.s_y]), _MARGIN * width
        inside = ((source >= low - margin) & (source <= high + margin)).all(0)
        # Opposite samples are on either side of the middle one, in equal distance if it is linear.
        bend = (beta[..., :4, :] + beta[..., 5:, :].flip(-2) - 2 * beta[..., 4:5, :]).abs()
        rough = bend.amax(-2, keepdim=True).amax(0) > _ROUGH * width
        # The centre may be just across the edge, where samples do not feel it yet.
        centre = self._is_near_centre(x, y, 3 * half)
        return inside | centre, rough | centre

    def _is_near_centre(self, x: Tensor, y: Tensor, reach: float) -> Tensor:
        near = torch.zeros_like(x, dtype=torch.bool)
        # One centre after the other: cells times centres would not fit the memory.
        for k in range(self.centres[0].shape[-1]):
            c_x, c_y = (c[..., k : k + 1] for c in self.centres)
            near = near | (torch.maximum((x - c_x).abs(), (y - c_y).abs()) <= reach)
        return near

    def _newton(
        self, x: Tensor, y: Tensor, alive: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        start_x, start_y = x, y
        for _ in range(_NEWTON_STEPS):
            beta_x, beta_y = self.lens.ray_trace(x, y)
            off_x, off_y = beta_x - self.s_x, beta_y - self.s_y
            xx, xy, yx, yy = self.lens.jacobian(x, y)
            det = xx * yy - xy * yx
            step_x, step_y = (yy * off_x - xy * off_y) / det, (xx * off_y - yx * off_x) / det
            length = torch.hypot(step_x, step_y)
            # A step of more than the cell leaves the neighbourhood in which it means anything.
            damping = torch.clamp(2 * size / length, max=1.0)
            step_x, step_y = (
                torch.nan_to_num(damping * v, nan=0.0, posinf=0.0, neginf=0.0)
                for v in (step_x, step_y)
            )
            x, y = x - step_x, y - step_y
            # The root of a ray that has gone far is found from a nearer cell.
            alive = alive & (torch.hypot(x - start_x, y - start_y) < _FARTHEST * size)
            if not bool((alive & (length > 0.01 * _ACCURACY)).any()):
                break
        beta_x, beta_y = self.lens.ray_trace(x, y)
        xx, xy, yx, yy = self.lens.jacobian(x, y)
        # The last digit of the position alone moves the ray by this much.
        digit = torch.finfo(x.dtype).eps * torch.maximum(x.abs(), y.abs())
        rounding = 8 * digit * torch.sqrt(xx * xx + xy * xy + yx * yx + yy * yy)
        off = torch.hypot(beta_x - self.s_x, beta_y - self.s_y)
        arrived = off < _ACCURACY + rounding
        bright = (xx * yy - xy * yx).abs() < 1 / _FAINTEST
        return x, y, alive & arrived & bright

    def _keep_distinct(self, x: Tensor, y: Tensor, alive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = torch.zeros_like(x, dtype=torch.bool)
        most, left = _MOST + self.centres[0].shape[-1], alive
        for _ in range(most):
            if not bool(left.any()):
                x, y, images = _pack(x, y, images)
                if x.shape[-1]:
                    return x, y, images
                # No source has an image: a list of one entry that is none keeps the shapes.
                empty = self.s_x.new_zeros(self.s_x.shape)
                return empty, empty, torch.zeros_like(empty, dtype=torch.bool)
            first = left.to(torch.uint8).argmax(-1, keepdim=True)
            chosen = torch.zeros_like(left).scatter(-1, first, left.gather(-1, first))
            near = torch.hypot(x - x.gather(-1, first), y - y.gather(-1, first)) < _SAME
            images, left = images | chosen, left & ~near & ~chosen
        raise ValueError(
            f"a source has more than {most} images: it lies on a point caustic, and its image is a "
            "ring"
        )


def _pack(x: Tensor, y: Tensor, alive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the entries that are alive first, and cut to their largest number in the batch."""
    count = int(alive.sum(-1).max()) if alive.numel() else 0
    first = alive.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[..., :count]
    return x.gather(-1, first), y.gather(-1, first), alive.gather(-1, first)


def _centres(lens: Lens, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of all deflectors that have one, each ``(B or 1, 1, K)``."""
    pairs = []
    for deflector in lens.deflectors:
        profile = getattr(deflector, "profile", deflector)
        if not hasattr(profile, "center_x") or not hasattr(profile, "center_y"):
            continue
        pair = [torch.as_tensor(v).to(like).detach() for v in (profile.center_x, profile.center_y)]
        if profile is deflector:
            pair = [v[..., None] for v in pair]
        centre = torch.stack(torch.broadcast_tensors(*(torch.atleast_1d(v) for v in pair)))
        pairs.append(centre.reshape(2, -1, 1, centre.shape[-1]))
    if not pairs:
        return like.new_zeros(1, 1, 0), like.new_zeros(1, 1, 0)
    batch = max(centre.shape[1] for centre in pairs)
    x, y = torch.cat([centre.expand(-1, batch, -1, -1) for centre in pairs], -1)
    return x, y
