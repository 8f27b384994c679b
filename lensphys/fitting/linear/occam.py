"""Volume of the posterior of amplitudes: what a free source costs where it has more room."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lensphys.fitting.linear.amplitudes import RIDGE, Solution
from lensphys.fitting.linear.columns import Columns


@dataclasses.dataclass(frozen=True)
class Occam:
    """Log determinant of the matrix of the amplitudes of either sign, the others eliminated.

    MacKay 1992 (Neural Computation 4, 415), eq. 2.5: the width of the posterior of the amplitudes
    that are marginalised over.

    Attributes:
        log_det: of their matrix, ``(b,)``, float64.
    """

    log_det: Tensor
    _columns: Columns
    _solution: Solution
    _held: Tensor
    _factor: Tensor

    @classmethod
    def measure(cls, columns: Columns, solution: Solution, positive: Tensor) -> Occam:
        """Measure the volume.

        Args:
            columns: of the model.
            solution: its amplitudes.
            positive: mask ``(K,)`` of the amplitudes that may not be negative.
        """
        held = solution.active & positive
        both = held[:, :, None] & held[:, None]
        alone = torch.where(both, columns.normal, torch.diag_embed((~held).double()))
        ridge = torch.diag_embed(RIDGE * alone.diagonal(dim1=1, dim2=2))
        factor = torch.linalg.cholesky(alone + ridge)
        volumes = (torch.log(f.diagonal(dim1=1, dim2=2)).sum(1) for f in (solution.factor, factor))
        of_all, of_held = volumes
        return cls(2 * (of_all - of_held), columns, solution, held, factor)

    def differentiate(self) -> dict[str, Tensor]:
        """Half the derivative of the log determinant by every parameter, ``(b,)`` by name.

        ``1/2 d log det(A^T A + R) = tr((A^T A + R)^-1 A^T dA)``.
        """
        columns = self._columns.list_all()
        active = self._solution.active[..., None]
        size, flat = columns.shape[-2:], columns.flatten(2)
        dual = torch.cholesky_solve(flat * active, self._solution.factor)
        if bool(self._held.any()):
            dual = dual - torch.cholesky_solve(flat * self._held[..., None], self._factor)
        return self._columns.weigh((dual * active).unflatten(2, size))
