"""Draws from the posterior of a batch of lenses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

#: R-hat below which chains count as converged, Vehtari et al. 2021.
RHAT = 1.01


@dataclasses.dataclass(frozen=True, eq=False)
class Draws(Mapping[str, Tensor]):
    """Draws of every parameter by name, each ``(n, B)``: ``draws["theta_E"]``.

    Row ``i`` of all parameters is one draw from the joint posterior of each lens; successive rows
    come from different chains.

    Attributes:
        params: the draws, by parameter name; a fixed parameter has one value throughout.
        rhat: rank-normalised split R-hat of each fitted parameter, ``(B,)``, over the whole run.
        ess: effective number of independent draws of the whole run, ``(B,)`` each.
        acceptance: ``(B,)``, fraction of proposals that were accepted.
        reach: ``(B,)``, length of the paths of the chains, 1 where they cross the posterior.
        chains: number of chains.
    """

    params: dict[str, Tensor] = dataclasses.field(repr=False)
    rhat: dict[str, Tensor] = dataclasses.field(repr=False)
    ess: dict[str, Tensor] = dataclasses.field(repr=False)
    acceptance: Tensor = dataclasses.field(repr=False)
    reach: Tensor = dataclasses.field(repr=False)
    chains: int

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.params[name]
        except KeyError:
            known = ", ".join(self.params)
            raise KeyError(f"no parameter is called {name!r}; there are {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.params)

    def __len__(self) -> int:
        return len(self.params)

    @property
    def worst_rhat(self) -> Tensor:
        """Largest R-hat of all fitted parameters, ``(B,)``."""
        return torch.stack(list(self.rhat.values())).amax(0)

    @property
    def converged(self) -> Tensor:
        """``(B,)``, true where R-hat of every parameter is below 1.01."""
        return self.worst_rhat < RHAT

    def __repr__(self) -> str:
        n, lenses = next(iter(self.params.values())).shape
        least = float(torch.stack(list(self.ess.values())).min())
        return (
            f"<{n} draws of {len(self.params)} parameters for {lenses} lens{'es' * (lenses > 1)}, "
            f"{self.chains} chains: "
            f"R-hat below {RHAT} for {int(self.converged.sum())} (largest "
            f"{float(self.worst_rhat.max()):.3f}), at least {least:.0f} independent draws>"
        )
