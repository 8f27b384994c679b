"""Lens fits of a batch of images, in the one form that all rooms share: from disk to a head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.fitting.scene import LensScene

if TYPE_CHECKING:
    from learn.lens_fits.store import StoredMaps

#: Parameters of the lens and its source, which every fit has.
NAMES = LensScene("EPL").names


@dataclasses.dataclass(eq=False)
class LensFits:
    """Smooth lenses of N images, as :func:`lensphys.fit` found them, and what they leave.

    Attributes:
        names: of the P parameters, those of :func:`lensphys.fit`.
        values: (N, P) best fits.
        covariance: (N, P, P) of them; infinite variances where the image does not constrain one.
        chi2_dof: (N,) chi^2 over the degrees of freedom; infinite where the fit failed.
        converged: (N,) true where a minimum was found.
        channels: (N, 10, H, W), laid out as :data:`learn.lens_fits.channels.CHANNELS`; on disk
            until rows are taken, where they come from files. None where no network needs them.
        statistics: (N, S) order statistics of the S/N maps, see
            :class:`learn.lens_fits.maps.SearchMaps`.
        draws: (N, K, H, W) changes by groups of unknown masses, see
            :class:`learn.lens_fits.draws.Draws`, on disk like ``channels``; None where none were
            asked for.
        moments: (N, K, 5) of these masses.
        deviation: (N, 14) from the usual lens of a data set, in the order of :data:`NAMES`; None
            before :meth:`learn.lens_fits.usual_lens.UsualLens.compare`.
        detail: (N, 1, H, W), what the lenses show at high resolution alone; None where no task
            needs it.
    """

    names: tuple[str, ...]
    values: Tensor
    covariance: Tensor
    chi2_dof: Tensor
    converged: Tensor
    channels: Tensor | StoredMaps | None = None
    statistics: Tensor | None = None
    draws: Tensor | StoredMaps | None = None
    moments: Tensor | None = None
    deviation: Tensor | None = None
    detail: Tensor | None = None

    @classmethod
    def of_arrays(
        cls,
        names: tuple[str, ...],
        arrays: Mapping[str, NDArray[Any]],
        channels: Tensor | StoredMaps | None = None,
    ) -> Self:
        """The fits in arrays by name.

        Names are ``params``, ``covariance``, ``chi2_dof``, ``converged`` and ``statistics``.
        A fit with a value that is not finite counts as not converged.
        """
        values = torch.as_tensor(arrays["params"]).float()
        chi2 = torch.as_tensor(arrays["chi2_dof"]).float()
        whole = values.isfinite().all(1) & chi2.isfinite()
        return cls(
            names,
            values.nan_to_num(0.0, 0.0, 0.0),
            torch.as_tensor(arrays["covariance"]).float(),
            torch.where(whole, chi2, torch.inf),
            torch.as_tensor(arrays["converged"]) & whole,
            channels,
            torch.as_tensor(arrays["statistics"]).float(),
        )

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The fits of several batches as one; they have the same fields."""
        joined: dict[str, Any] = {
            field.name: torch.cat([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(cls)
            if isinstance(getattr(parts[0], field.name), Tensor)
        }
        return dataclasses.replace(parts[0], **joined)

    def __len__(self) -> int:
        return len(self.chi2_dof)

    @property
    def params(self) -> dict[str, Tensor]:
        """(N,) best fits, by name."""
        return dict(zip(self.names, self.values.unbind(1), strict=True))

    @property
    def errors(self) -> dict[str, Tensor]:
        """(N,) standard errors, by name; infinite where the image does not constrain a value."""
        variance = self.covariance.diagonal(dim1=1, dim2=2)
        errors = torch.where(variance >= 0, variance, torch.inf).sqrt()
        return dict(zip(self.names, errors.unbind(1), strict=True))

    @property
    def radius_error(self) -> Tensor:
        """(N,) error of the Einstein radius over the radius, infinite where nothing constrains it.

        Errors of a fit that leaves more than noise are wider by the root of chi^2 over the degrees
        of freedom. Without arcs and counter-images hardly anything tells the radius.
        """
        wider = self.chi2_dof.clamp_min(1.0).sqrt()
        error = self.errors["theta_E"] * wider / self.params["theta_E"].clamp_min(0.0)
        return error.nan_to_num(torch.inf, torch.inf, torch.inf)

    @property
    def scene(self) -> LensScene:
        """The parametric scene that was fitted."""
        return LensScene("EPL", lens_light=len(self.names) > len(NAMES))

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The fits with a change of every tensor: of its rows, or of its device."""
        changed: dict[str, Any] = {
            field.name: change(value)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **changed)

    def rows(self, indices: Tensor | slice) -> Self:
        """The fits of some of the images; maps that lie in files are read for these alone."""
        fits = self.map(lambda values: values[indices])
        for name in ("channels", "draws"):
            stored = getattr(fits, name)
            if stored is not None and not isinstance(stored, Tensor):
                setattr(fits, name, stored[indices])
        return fits

    def replace_rows(self, indices: Tensor, other: Self) -> None:
        """Put the fits of ``other`` in the place of the rows ``indices``, on the same device."""
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), Tensor):
                value[indices] = getattr(other, field.name)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The fits on another device; Lightning calls this for the batches that hold them."""
        return self.map(lambda values: values.to(device, non_blocking=non_blocking))

    def without_channels(self) -> Self:
        """The fits without their maps."""
        return dataclasses.replace(self, channels=None, draws=None, moments=None)
