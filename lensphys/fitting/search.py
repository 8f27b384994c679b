"""Search for the best fit of every image: from templates, and from what is known already."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lensphys.fitting.light_first import LightFirst
from lensphys.fitting.optimiser import State, find_best
from lensphys.fitting.problem import SersicProblem
from lensphys.fitting.templates import Templates

#: Starting points of a second round, in multiples of those tried at first.
_RETRY = 8
#: Standard deviations of chi^2 beyond which noise does not explain a fit.
_DEVIATIONS = 3


@dataclasses.dataclass(frozen=True)
class Search:
    """Settings of a search.

    Attributes:
        n_starts, retry_above, max_steps, tolerance: see :func:`lensphys.fit`.
        bounded: parameters with bounds of the caller, which stay.
    """

    n_starts: int
    retry_above: float | None
    max_steps: int
    tolerance: float
    bounded: Collection[str]

    def run(
        self,
        problem: SersicProblem,
        templates: Templates,
        known: Mapping[str, Tensor],
        points: Tensor | None,
        light: LightFirst | None,
    ) -> State:
        """Find the best fit of every image, from the templates that suit it best.

        Args:
            problem: objective of the fits; its bounds are narrowed where the lens shines.
            templates: of the scene.
            known: values ``(B,)`` by name that templates must agree with.
            points: further starting points, ``(B, M, P)``; None for none.
            light: of the lens, as it is known before the rest; templates are compared with what
                it leaves, too.
        """
        images, weight, near = problem.images, problem.weight, known or None
        starts = [templates.best(images, weight, self.n_starts, known=near)]
        if light is not None:
            data = light.arcs, light.weight
            starts.append(templates.best(*data, self.n_starts, known=near, light=light.params))
            self._narrow(problem, starts[-1][:, 0], known)
        if points is not None:
            starts.append(points)
        found = self.descend(problem, torch.cat(starts, 1))
        if light is not None:
            self._mirror(problem, found)
        return found

    def descend(self, problem: SersicProblem, points: Tensor, which: Tensor | None = None) -> State:
        """Fit all images, or some, from points ``(B, M, P)``."""
        return find_best(problem, points, self.max_steps, self.tolerance, which)

    def _narrow(self, problem: SersicProblem, best: Tensor, known: Mapping[str, Tensor]) -> None:
        """Bound the source by the ring, lest it take up the disc or the halo of the lens.

        Args:
            problem: whose bounds are narrowed.
            best: template ``(B, P)`` that suits the arcs best.
            known: see :meth:`run`.
        """
        if "source_R_sersic" not in self.bounded:
            most = problem.scene.named(best)["theta_E"]
            if "source_R_sersic" in known:
                most = torch.maximum(most, 2 * known["source_R_sersic"])
            problem.bounds.narrow("source_R_sersic", high=most)

    def _mirror(self, problem: SersicProblem, found: State) -> None:
        """Try lenses on the other side of their sources, where they are nearer to their light.

        The ring of a nearly round lens is centred on its source, to first order, whichever side of
        the source the lens is on: chi^2 has a minimum on both.
        """
        params = problem.scene.named(problem.bounds.forward(found.z, found.index)[0])
        centre, source, light = (
            torch.stack([params[f"{of}center_{axis}"] for axis in "xy"])
            for of in ("", "source_", "lens_light_")
        )
        other = 2 * source - centre
        nearer = torch.linalg.vector_norm(other - light, dim=0) < torch.linalg.vector_norm(
            centre - light, dim=0
        )
        which = torch.nonzero(nearer)[:, 0]
        if not which.numel():
            return
        params |= {f"center_{axis}": other[k] for k, axis in enumerate("xy")}
        points = torch.stack(list(params.values()), -1)[which, None]
        keep_better(found, which, self.descend(problem, points, which))

    def find_poor(self, problem: SersicProblem, found: State) -> Tensor:
        """Find the fits that noise does not explain, and which are to be tried again."""
        pixels = (problem.weight > 0).sum((-2, -1))
        dof = pixels - (~problem.bounds.held).sum()
        if self.retry_above is None:
            limit = dof + _DEVIATIONS * torch.sqrt(2.0 * dof)
        else:
            limit = self.retry_above * dof
        return torch.nonzero(~(problem.chi2(found.objective, found.z) <= limit))[:, 0]

    def retry(
        self,
        problem: SersicProblem,
        found: State,
        which: Tensor,
        templates: Templates,
        known: Mapping[str, Tensor],
        light: LightFirst | None,
    ) -> None:
        """Improve some of the fits, if more and other templates lead to better ones.

        Args:
            problem, templates, known, light: see :meth:`run`.
            found: fits of all images.
            which: images that are tried again.
        """
        if not which.numel():
            return
        count = _RETRY * self.n_starts
        some = {name: value[which] for name, value in known.items()} or None
        data, own = (problem.images[which], problem.weight[which]), None
        if light is not None:
            part = light.take(which)
            data, own = (part.arcs, part.weight), part.params
        points = templates.best(*data, count, distinct=True, known=some, light=own)
        keep_better(found, which, self.descend(problem, points, which))


def keep_better(found: State, which: Tensor, other: State) -> None:
    """Replace the fits of some images by others, where those are better."""
    better = other.objective < found.objective[which]
    found.put(which[better], other.take(better))
