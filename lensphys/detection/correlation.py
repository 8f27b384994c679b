"""Correlations of maps of pixels with kernels, by Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from torch import Tensor

#: Elements that are transformed at once; on a CPU they then stay in its cache.
_BLOCK = {"cpu": 1 << 18}
_BLOCK_ELSEWHERE = 1 << 26


class Correlator:
    """Sums over pixels of maps times kernels that are shifted to every place.

    Args:
        shape: of the maps, ``(ny, nx)``.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._size = (
            next_fast_len(2 * shape[0] - 1, real=True),
            next_fast_len(2 * shape[1] - 1, real=True),
        )

    def spectrum(self, kernels: Tensor) -> Tensor:
        """Return the spectra of kernels ``(..., 2 ny - 1, 2 nx - 1)``, whose middle is at 0."""
        (ny, nx), (ly, lx) = self._shape, self._size
        wide = torch.nn.functional.pad(kernels, (0, lx - 2 * nx + 1, 0, ly - 2 * ny + 1))
        spectra: Tensor = torch.fft.rfft2(wide.roll((1 - ny, 1 - nx), (-2, -1)))
        return spectra.conj().resolve_conj()

    def correlate(self, maps: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
        """Sum over the channels, ``sum_cp maps_c(p) kernel_c(p - k)``, in every place k.

        Args:
            maps: ``(..., C, ny, nx)``.
            kernels: one or more sets of spectra ``(C, ly, lf)``.

        Returns:
            For every set ``(..., ny, nx)``.
        """
        *batch, channels, ny, nx = maps.shape
        flat = maps.reshape(-1, channels, ny, nx)
        most = _BLOCK.get(maps.device.type, _BLOCK_ELSEWHERE) // (self._size[0] * self._size[1])
        # A block holds several channels of one map, or several maps of a few channels.
        step = max(1, most // channels)
        found: list[list[Tensor]] = [[] for _ in kernels]
        for part in flat.split(step):
            totals = [torch.zeros_like(k[0]).repeat(len(part), 1, 1) for k in kernels]
            for first in range(0, channels, max(1, most)):
                spectra = self._transform(part[:, first : first + max(1, most)])
                for c, spectrum in enumerate(spectra.unbind(1), first):
                    for total, kernel in zip(totals, kernels, strict=True):
                        total.addcmul_(spectrum, kernel[c])
            for sums, total in zip(found, totals, strict=True):
                sums.append(self._invert(total))
        return [torch.cat(sums).reshape(*batch, ny, nx) for sums in found]

    def _transform(self, maps: Tensor) -> Tensor:
        # Axis by axis, so that the rows that are empty are left out.
        rows = torch.fft.rfft(maps, n=self._size[1])
        spectra: Tensor = torch.fft.fft(rows, n=self._size[0], dim=-2)
        return spectra

    def _invert(self, spectra: Tensor) -> Tensor:
        ny, nx = self._shape
        rows = torch.fft.ifft(spectra, n=self._size[0], dim=-2)[..., :ny, :]
        whole: Tensor = torch.fft.irfft(rows, n=self._size[1])
        return whole[..., :nx]
