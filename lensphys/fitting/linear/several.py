"""Several Sersic profiles: where a further one may begin, and their order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from lensphys.fitting.linear.cold_start import refine
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.rows import choose_rows, read_values
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.sersics import MOST_SERSICS, list_prefixes, name_in_first
from lensphys.fitting.optimiser import State, begin
from lensphys.light.sersic import sersic_total_flux
from lensphys.products import product

#: Starting points of an image, and steps from each.
STARTS, _STEPS = 5, 20
#: Places a side of the map of the source plane in which a further profile is sought, half the
#: width of that map and the distance of two such places, in Einstein radii.
_CELLS, _REACH, _APART = 31, 0.6, 0.15
#: Significance above which light counts as part of a residual, and the most that counts.
_FAINTEST, _BRIGHTEST = 1.0, 15.0
#: Radius of a further profile, in that of the first: where the residual is, and about the centre of
#: the first, as a core in it and a disc around it.
_BESIDE, _CORE, _DISC = 0.6, 0.3, 2.5
#: Half-light radius of the light of lenses, in radii of the arcs, and Sersic index: bulge, then
#: discs.
_BULGE, _DISCS = (0.3, 3.0), ((1.2, 1.0), (0.7, 1.0), (1.8, 1.0))


def add_sources(
    scenes: Sequence[LinearScene],
    points: dict[str, Tensor],
    given: Mapping[str, Tensor],
    pose: Callable[[LinearScene, dict[str, Tensor], Tensor], LinearProblem],
    tolerance: float,
) -> tuple[dict[str, Tensor], Tensor]:
    """Fit one Sersic source, then two and so on, each from the start that suits an image best.

    The lens stays as it was found until all profiles are there: one alone would bend it to make up
    for the others.

    Args:
        scenes: with one Sersic source, with two, and so on.
        points: values ``(B,)`` by name to begin with, those of the lens included.
        given: values ``(B,)`` of a caller by name, for the profiles that are added.
        pose: makes the problem of a scene from the values of its rows and the image of each row.
        tolerance: of the fits.

    Returns:
        Values ``(B,)`` by name, and the strength of the regularisation.
    """
    images = len(points["theta_E"])
    owner = torch.arange(images, device=points["theta_E"].device)
    prefixes = list_prefixes("source", len(scenes))
    for count, scene in enumerate(scenes, 1):
        problem = pose(scene, points, owner)
        last = count == len(scenes)
        if not last and scene.deflectors is not None:
            lens = {name: points[name] for name in scene.deflectors.names}
            problem.bounds = problem.bounds.hold(lens)
        values = torch.stack([points[name] for name in scene.names], 1)
        index = torch.arange(len(owner), device=owner.device)
        state = begin(problem, problem.bounds.inverse(values, index), index)
        refine(problem, state, _STEPS, tolerance)
        best = choose_rows(problem, state, images)
        state = state.take(best)
        found = read_values(problem, state, {name: value[best] for name, value in points.items()})
        if last:
            break
        points = list_further(problem, state, found[0], prefixes[count])
        owner = problem.owner[state.index].repeat_interleave(STARTS)
        own = {name: v[owner] for name, v in given.items() if name.startswith(prefixes[count])}
        points |= own
    return found


def list_further(
    problem: LinearProblem, state: State, known: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor]:
    """List starting points of a scene with one Sersic profile more in its source.

    The new profile begins at the two places of the source plane in which most of the residual is;
    at one of them, and the first profile at the other; inside the first profile; and around it.

    Args:
        problem: of the scene without it.
        state: its fits, one an image.
        known: values ``(B,)`` of all parameters by name.
        prefix: of the names of the new parameters.

    Returns:
        Values ``(STARTS B,)`` of all parameters by name, those of an image in turn.
    """
    two = _find_residual(problem, state, known)
    first = known["source_center_x"], known["source_center_y"]
    radius, shape = known["source_R_sersic"], (known["source_e1"], known["source_e2"])
    round_one = torch.zeros_like(radius), torch.zeros_like(radius)
    starts = [(*place, _BESIDE * radius, *round_one) for place in (*two, two[0])]
    starts += [(*first, factor * radius, *shape) for factor in (_CORE, _DISC)]
    names = ("center_x", "center_y", "R_sersic", "e1", "e2")
    points = {name: value.repeat_interleave(STARTS) for name, value in known.items()}
    for name, values in zip(names, zip(*starts, strict=True), strict=True):
        points[prefix + name] = torch.stack(values, 1).flatten()
    points[f"{prefix}n_sersic"] = torch.ones_like(points["source_R_sersic"])
    for axis, place in zip("xy", two[1], strict=True):
        points[f"source_center_{axis}"][2::STARTS] = place
    return points


def _find_residual(
    problem: LinearProblem, state: State, known: Mapping[str, Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Find the two places of the source plane where most of the residual is traced back to."""
    own = problem.owner[state.index]
    images, weight = problem.images[own], problem.weight[own]
    model, _ = problem.model(state.z, state.index, images, weight)
    light = ((images - model) * weight - _FAINTEST).clamp(0, _BRIGHTEST).flatten(1)
    x, y = (v.expand(images.shape) for v in problem.pixels.centers)
    beta = problem.scene.take(own).lens(known).ray_trace(x, y)
    unit = 2 * _REACH / (_CELLS - 1) * known["theta_E"]
    steps = torch.arange(_CELLS, device=unit.device).to(unit) - 0.5 * (_CELLS - 1)
    near, axes = [], []
    for name, at in zip("xy", beta, strict=True):
        axis = known[f"source_center_{name}"][:, None] + unit[:, None] * steps
        away = (at.flatten(1)[:, None] - axis[..., None]) / unit[:, None, None]
        near.append(torch.exp(-0.5 * away.square()))
        axes.append(axis)
    lit = product(near[1] * light[:, None], near[0].mT)
    score = lit * torch.rsqrt(product(near[1], near[0].mT) + 0.05)
    found = []
    for _ in range(2):
        best = score.flatten(1).argmax(1, keepdim=True)
        row, column = best // _CELLS, best % _CELLS
        found.append((axes[0].gather(1, column)[:, 0], axes[1].gather(1, row)[:, 0]))
        cells = torch.arange(_CELLS, device=unit.device)
        apart = torch.hypot((cells - column)[:, None].to(unit), (cells - row)[..., None].to(unit))
        score = score.masked_fill(apart * 2 * _REACH < _APART * (_CELLS - 1), -1.0)
    return found


def start_light(
    names: Collection[str], points: Mapping[str, Tensor], arc_radius: Tensor
) -> dict[str, Tensor]:
    """Starting values of several Sersic profiles of the light of a lens: a bulge, and discs.

    Args:
        names: of the parameters of a scene.
        points: values that are known, by name.
        arc_radius: radius of the arcs.

    Returns:
        Values by name; none for a scene with one profile or without any.
    """
    prefixes = [p for p in list_prefixes("lens_light", 1 + len(_DISCS)) if p + "n_sersic" in names]
    if len(prefixes) < 2:
        return {}
    found = {}
    zero = torch.zeros_like(arc_radius)
    for prefix, (radius, index) in zip(prefixes, (_BULGE, *_DISCS), strict=False):
        found[f"{prefix}R_sersic"] = radius * arc_radius
        found[f"{prefix}n_sersic"] = torch.full_like(arc_radius, index)
        for name in ("center_x", "center_y", "e1", "e2"):
            found[prefix + name] = points.get(f"lens_light_{name}", zero)
    return found


def sort_profiles(
    scene: LinearScene, state: State, params: Tensor, amplitudes: Tensor, given: Collection[str]
) -> Tensor:
    """Bring the Sersic profiles of a source, and those of a lens, into order, brightest first.

    Args:
        scene: of the fits.
        state: fits, which change.
        params, amplitudes: theirs, ``(B, P)`` and ``(B, K)``.
        given: names of parameters for which a caller has chosen anything; profiles with one of
            them keep their place.

    Returns:
        Column ``(B, P)`` in which each parameter was before.
    """
    values, groups = scene.named(params), scene.split(amplitudes)
    before = torch.arange(len(scene.names), device=params.device).repeat(len(params), 1)
    for part in ("source", "lens_light"):
        prefixes = [p for p in list_prefixes(part, MOST_SERSICS) if p + "n_sersic" in values]
        chosen = {name_in_first(name) for name in given}
        if len(prefixes) < 2 or any(name.startswith(f"{part}_") for name in chosen):
            continue
        shapes = [[values[p + name] for p in prefixes] for name in ("R_sersic", "n_sersic")]
        radius, index = (torch.stack(shape, 1).double() for shape in shapes)
        flux = sersic_total_flux(groups[part], radius, index)
        order = flux.argsort(dim=1, descending=True)
        columns = torch.arange(len(scene.names), device=order.device).repeat(len(order), 1)
        for name in scene.names:
            if name.startswith(prefixes[0]) and name_in_first(name) == name:
                own = [scene.names.index(p + name.removeprefix(prefixes[0])) for p in prefixes]
                places = torch.tensor(own, device=order.device)
                columns[:, places] = places[order]
        state.z, state.gradient = (v.gather(1, columns) for v in (state.z, state.gradient))
        normal = state.normal.gather(1, columns[..., None].expand_as(state.normal))
        state.normal = normal.gather(2, columns[:, None].expand_as(normal))
        before = before.gather(1, columns)
    return before
