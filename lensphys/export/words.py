"""Results of fits in words: a summary of ten lines, and advice where a fit is poor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lensphys.export.table import find_unit
from lensphys.rendering import Light

if TYPE_CHECKING:
    from lensphys.fitting.result import FitResult

#: Fraction of the range of a parameter within which it counts as at its bound.
_AT_BOUND = 2e-3
#: Standard deviations of chi^2, and its excess, beyond which a fit is poor.
_DEVIATIONS, _EXCESS = 5.0, 1.15
#: chi^2/dof below which the noise map is too large rather than the fit good.
_TOO_GOOD = 0.7
#: Magnification of the source below which it is hardly lensed.
_UNLENSED = 1.3


def summarise(result: FitResult) -> str:
    """Describe a result in ten lines: scene, parameters with errors and units, chi^2, priors.

    Values are those of the lens, or the median of several with the median error.
    """
    count = len(result.converged)
    groups: dict[str, list[str]] = {"mass": [], "source": [], "lens light": []}
    for name in result.names:
        kind, short = "mass", name
        for group in ("source", "lens light"):
            prefix = group.replace(" ", "_") + "_"
            if name.startswith(prefix):
                kind, short = group, name.removeprefix(prefix)
                # Of several profiles: 2_R_sersic.
                number, _, rest = short.partition("_")
                short = f"{rest} ({number})" if number.isdigit() else short
        groups[kind].append(f"{short} {_describe(result, name)}")
    lines = [f"Fit of {count} lens{'es' if count > 1 else ''}: {describe_scene(result)}"]
    if count > 1:
        lines.append("medians of the values and of their errors:")
    lines += [f"  {kind}: {', '.join(parts)}" for kind, parts in groups.items() if parts]
    if result.priors:
        parts = [
            f"{name} {_round(_median(mean), _median(deviation))}"
            for name, (mean, deviation) in result.priors.items()
        ]
        lines.append(f"  priors: {', '.join(parts)}")
    chi2 = result.chi2_dof.detach()
    effective, evidence = _spread(result.effective, ".0f"), _spread(result.evidence, ".1f")
    lines.append(
        f"  chi^2/dof {_spread(chi2, '.2f')}, effective parameters {effective}, "
        f"log evidence {evidence}"
    )
    advised = sum(bool(advice) for advice in advise(result))
    seen = f"; {advised} with advice(), see there" if advised else ""
    lines.append(f"  converged {int(result.converged.sum())} of {count}{seen}")
    return "\n".join(lines)


def describe_scene(result: FitResult) -> str:
    """Describe the profiles that were fitted."""
    try:
        masses = [_name(deflector) for deflector in result.lens.deflectors]
    except ValueError:  # a scene of light alone
        masses = ["no lens"]
    light = result.lens_light
    return (
        f"{' + '.join(masses)}, source {_name_all(result.source)}, "
        f"lens light {'none' if light is None else _name_all(light)}"
    )


def advise(result: FitResult) -> list[list[str]]:
    """Advise on each lens whose fit is not to be trusted as it is; nothing on the others."""
    pixels = (result.problem.weight > 0).sum((-2, -1))
    magnification = _magnification(result)
    advice = []
    for k in range(len(pixels)):
        found, chi2 = [], float(result.chi2_dof[k])
        dof = float(pixels[k]) - float(result.effective[k])
        if not bool(result.converged[k]):
            found.append(
                f"not converged after {int(result.steps[k])} steps: raise max_steps, or fit "
                "without start, from templates"
            )
        if not chi2 <= max(_EXCESS, 1 + _DEVIATIONS * math.sqrt(2 / max(dof, 1.0))):
            found.append(
                f"chi^2/dof is {chi2:.2f}: the scene is too poor or the noise too small; try "
                "source='shapelets', lens_light='mge', a mask of neighbours, or model_error"
            )
        elif chi2 < _TOO_GOOD:
            found.append(f"chi^2/dof is {chi2:.2f}: sigma is probably too large, and so are errors")
        found += _advise_on_parameters(result, k)
        if magnification[k] < _UNLENSED:
            found.append(
                "the source copies the image, magnified only "
                f"{float(magnification[k]):.1f} times: give theta_E a start, bounds or a prior"
            )
        advice.append(found)
    return advice


def _advise_on_parameters(result: FitResult, k: int) -> list[str]:
    bounds, found = result.problem.bounds, []
    for column, name in enumerate(result.names):
        if bool(bounds.held[column]):
            continue
        if not math.isfinite(float(result.errors[name][k])):
            found.append(f"the data do not constrain {name}: fix it, or give it a prior")
        value = result.params[name][k].detach().double()
        ends = bounds.low[k, column].double(), bounds.high[k, column].double()
        if bool(bounds.log[column]):
            value, ends = value.log(), (ends[0].log(), ends[1].log())
        for place, end in zip(("lower", "upper"), ends, strict=True):
            if float((value - end).abs() / (ends[1] - ends[0])) < _AT_BOUND:
                shown = float(result.params[name][k])
                found.append(
                    f"{name} is at its {place} bound, {shown:.3g}: widen it by "
                    f"bounds={{'{name}': (low, high)}}, or give it a prior"
                )
    return found


@torch.no_grad()
def _magnification(result: FitResult) -> Tensor:
    """Flux of the lensed source over that of the source in the same field, ``(B,)``."""
    pixels = result.problem.pixels
    try:
        beta = result.lens.ray_trace(pixels.x, pixels.y)
    except ValueError:
        return torch.full_like(result.chi2_dof, torch.inf)
    lensed, plain = (_shine(result.source, *at) for at in (beta, (pixels.x, pixels.y)))
    # Absolute, since shapelets swing below zero.
    lensed, plain = lensed.abs().sum((-2, -1)), plain.abs().sum((-2, -1))
    return (lensed / plain).nan_to_num(torch.inf, torch.inf).expand_as(result.chi2_dof)


def _shine(light: Light, x: Tensor, y: Tensor) -> Tensor:
    profiles = light if isinstance(light, Sequence) else (light,)
    total = torch.zeros_like(x)
    for profile in profiles:
        total = total + profile.surface_brightness(x, y)
    return total


def _describe(result: FitResult, name: str) -> str:
    unit = find_unit(name)
    text = _round(_median(result.params[name]), _median(result.errors[name]))
    return text + ('"' if unit == "arcsec" else "")


def _round(value: float, error: float) -> str:
    """Value and error to the two leading digits of the error."""
    if error == 0:
        return f"{value:g} (fixed)"
    if not math.isfinite(error) or not math.isfinite(value):
        return f"{value:.4g} +- {error:g}"
    digits = max(0, 1 - math.floor(math.log10(abs(error))))
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def _median(values: Tensor) -> float:
    return float(values.detach().double().median())


def _spread(values: Tensor, form: str) -> str:
    values = values.detach().double()
    text = format(_median(values), form)
    if len(values) == 1:
        return text
    return f"{text} ({format(float(values.min()), form)} to {format(float(values.max()), form)})"


def _name(profile: object) -> str:
    order = f" m={m}" if (m := getattr(profile, "m", None)) else ""
    return type(profile).__name__.removeprefix("Cartesian") + order


def _name_all(light: Light) -> str:
    profiles = light if isinstance(light, Sequence) else (light,)
    return " + ".join(_name(profile) for profile in profiles)
