"""Deflections of a perturber, blurred as a PSF does, in few terms.

Light at ray q that is deflected by a mass in place k changes pixel p by the sum over q of
``B[p, q] g(q) . alpha(q - k)``, with the blur B and the slope g of the light. A few pixels away the
deflection varies so little across the PSF that ``alpha(q - k) = sum_n U_n(q - p) V_n(p - k)``, with
some twenty terms, is exact to 3e-6; nearer, every distance ``p - k`` is a term of its own.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional as F

from lensphys.detection.correlation import Correlator
from lensphys.detection.perturbers import Perturber
from lensphys.products import product

#: Largest error of the deflections at any distance, relative to their size across the PSF. That
#: of the change of an image is smaller, since it averages over pixels.
_TOLERANCE = 3e-6
#: Most terms of the expansion; with more, pixels farther away are taken one by one.
_TERMS = 30
#: Pixels on each side of the perturber that are taken one by one, at first, and by how many more.
_NEAR, _MORE = 3, 2
#: Width of the frame, pixels, around those, where the deflection varies most of what is left.
_FRAME = 4


@dataclasses.dataclass(frozen=True)
class Expansion:
    """Few terms that give the change of an image by a perturber in any place, in float64.

    A term is a pattern of deflections at the rays ``(2 width^2)`` that a pixel collects.

    Attributes:
        near: half the height and width, pixels, of the box where each distance is its own term.
        terms: ``(D + R, 2 width^2)``: the D distances in the box, the last one first, then R terms
            for all distances outside of it.
        kernels: spectra ``(D + R, 2, My, Mx // 2 + 1)`` of the terms, to correlate rays with.
        size: ``(My, Mx)``, of the rays with the margin that a window needs.
        pairs: ``(2, M)``, pairs of the R terms whose product is not negligible anywhere.
        squares: spectra ``(M, ly, lf)`` of the products of their coefficients.
        deflection: spectra ``(2 factor^2, ly, lf)`` of the deflection, by component and ray of a
            pixel.
    """

    near: tuple[int, int]
    terms: Tensor
    kernels: Tensor
    size: tuple[int, int]
    pairs: Tensor
    squares: Tensor
    deflection: Tensor


@functools.lru_cache(maxsize=1)
def expand(
    perturbers: tuple[Perturber, ...],
    envelope: tuple[float, ...],
    reach: int,
    factor: int,
    shape: tuple[int, int],
    pixel_scale: float,
    device: torch.device,
) -> list[Expansion]:
    """Expand the deflections of perturbers in front of pixels of any image of this shape.

    Args:
        perturbers: that are searched for.
        envelope: largest share of each ray, of ``width^2``, in a pixel; what the accuracy of a
            deflection counts with.
        reach, factor: see :class:`lensphys.detection.taps.Taps`.
        shape: of the images, ``(ny, nx)``.
        pixel_scale: arcsec.
        device: that everything is computed on.
    """
    with torch.inference_mode(False), torch.no_grad():
        weights = torch.tensor(envelope, dtype=torch.float64, device=device)
        return [
            _expand(perturber, _Windows(perturber, weights, reach, factor, shape, pixel_scale))
            for perturber in perturbers
        ]


def _expand(perturber: Perturber, windows: _Windows) -> Expansion:
    correlator = Correlator(windows.shape)
    near, basis = _find_terms(windows, perturber)
    terms = torch.cat([windows.read(*near).flip(0), basis])
    coefficients = windows.project(basis)
    (low_y, low_x), (high_y, high_x) = (
        [n - 1 + sign * v for n, v in zip(windows.shape, near, strict=True)] for sign in (-1, 1)
    )
    coefficients[:, low_y : high_y + 1, low_x : high_x + 1] = 0.0
    pairs = _choose_pairs(coefficients)
    squares = coefficients[pairs[0]] * coefficients[pairs[1]]
    squares = squares * torch.where(pairs[0] == pairs[1], 1.0, 2.0).to(squares)[:, None, None]
    ny, nx = windows.shape
    size = (
        next_fast_len(windows.factor * (ny + 2 * windows.reach), real=True),
        next_fast_len(windows.factor * (nx + 2 * windows.reach), real=True),
    )
    patterns = terms.view(-1, 2, windows.width, windows.width)
    return Expansion(
        near=near,
        terms=terms,
        kernels=torch.fft.rfft2(patterns, s=size).conj().resolve_conj(),
        size=size,
        pairs=pairs,
        squares=correlator.spectrum(squares),
        deflection=correlator.spectrum(windows.phases()),
    )


class _Windows:
    """Deflections at all rays around a pixel, for every distance of the pixel from the mass.

    Each is multiplied by the envelope of the PSF.
    """

    def __init__(
        self,
        perturber: Perturber,
        weights: Tensor,
        reach: int,
        factor: int,
        shape: tuple[int, int],
        pixel_scale: float,
    ) -> None:
        self.shape, self.reach, self.factor = shape, reach, factor
        self.pixel_scale = pixel_scale
        self.width = factor * (2 * reach + 1)
        self._weights = weights.repeat(2)
        y, x = (
            (torch.arange(factor * (2 * n - 2) + self.width, dtype=torch.float64))
            - (factor * (n - 1) + 0.5 * (self.width - 1))
            for n in shape
        )
        spacing = pixel_scale / factor
        y, x = torch.meshgrid(y * spacing, x * spacing, indexing="ij")
        self._alpha = torch.stack(perturber.deflection(x.to(weights.device), y.to(weights.device)))

    def read(self, most_y: int, most_x: int) -> Tensor:
        """Return the windows ``(D, 2 width^2)`` of distances up to so many pixels."""
        part = self._alpha[None]
        for dim, (n, most) in enumerate(zip(self.shape, (most_y, most_x), strict=True), 2):
            first = self.factor * (n - 1 - most)
            part = part.narrow(dim, first, self.factor * 2 * most + self.width)
        windows: Tensor = F.unfold(part, self.width, stride=self.factor)[0].T
        return windows * self._weights

    def project(self, basis: Tensor) -> Tensor:
        """Coefficients ``(R, 2 ny - 1, 2 nx - 1)`` of the window of every distance."""
        kernels = (basis * self._weights).view(-1, 2, self.width, self.width)
        # What wraps around at larger sizes is cut off.
        size = [next_fast_len(n, real=True) for n in self._alpha.shape[-2:]]
        spectra = torch.fft.rfft2(kernels, s=size).conj() * torch.fft.rfft2(self._alpha, s=size)
        found: Tensor = torch.fft.irfft2(spectra.sum(1), s=size)
        ny, nx = self.shape
        step = self.factor
        return found[:, ::step, ::step][:, : 2 * ny - 1, : 2 * nx - 1].contiguous()

    def phases(self) -> Tensor:
        """Deflections ``(2 factor^2, 2 ny - 1, 2 nx - 1)`` at the rays of the pixel itself."""
        step, first = self.factor, self.factor * self.reach
        (ny, nx), inner = self.shape, []
        for component in self._alpha:
            for i in range(step):
                for j in range(step):
                    part = component[first + i :: step, first + j :: step]
                    inner.append(part[: 2 * ny - 1, : 2 * nx - 1])
        return torch.stack(inner)


def _find_terms(windows: _Windows, perturber: Perturber) -> tuple[tuple[int, int], Tensor]:
    """Find a box around the perturber, and the few terms that hold all windows outside of it."""
    ny, nx = windows.shape
    width, height = (int(v / windows.pixel_scale) + 1 if v else 0 for v in perturber.extent)
    margin = _NEAR
    while True:
        near_y, near_x = min(margin + height, ny - 1), min(margin + width, nx - 1)
        most_y, most_x = min(near_y + _FRAME, ny - 1), min(near_x + _FRAME, nx - 1)
        y = torch.arange(-most_y, most_y + 1)[:, None].abs() > near_y
        x = torch.arange(-most_x, most_x + 1).abs() > near_x
        frame = windows.read(most_y, most_x)
        frame = frame[(y | x).flatten().to(frame.device)]
        basis = _span(frame) if len(frame) else frame
        if len(basis) <= _TERMS:
            return (near_y, near_x), basis
        margin += _MORE


def _span(windows: Tensor) -> Tensor:
    """Find the fewest orthonormal directions that hold every window to the tolerance."""
    windows = windows / windows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    directions: Tensor = torch.linalg.svd(windows, full_matrices=False)[2]
    explained = product(windows, directions.mT).square().cumsum(1)
    left = (windows.square().sum(1, keepdim=True) - explained).amax(0)
    count = int((left > _TOLERANCE**2).sum()) + 1
    return directions[:count]


def _choose_pairs(coefficients: Tensor) -> Tensor:
    """Choose the pairs ``(2, M)`` of terms whose product matters at some distance."""
    # Every other distance, since they vary little from one to the next.
    flat = coefficients[:, ::2, ::2].flatten(1)
    flat = flat / flat.norm(dim=0).clamp_min(1e-300)
    first, second = torch.triu_indices(len(flat), len(flat), device=flat.device)
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    largest = [(flat[a] * flat[b]).abs().amax() for a, b in pairs]
    keep = torch.tensor([float(v) > 0.1 * _TOLERANCE for v in largest], device=flat.device).bool()
    return torch.stack([first[keep], second[keep]])
