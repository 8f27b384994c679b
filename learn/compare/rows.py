"""The rows and columns of a comparison: baselines, the names of methods, modes and budgets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Literal

Mode = Literal["linear", "full", "lora"]
#: A budget: labels a class, or all that are left for training.
Budget = int | Literal["all"]
RADIAL, DETECTION, LENS_FIT = "radial", "detection-statistics", "lens-fit"
#: Rows that stand beside networks in panels of both modes.
TRIVIAL = (RADIAL, DETECTION)


@dataclasses.dataclass(frozen=True)
class BaselineRow:
    """A row without pretraining.

    Attributes:
        mode: a linear probe of its features, or all weights trained.
        meaning: in words, for the notes of tables.
        shade: of its line in figures.
        backbone: of the network.
        sees_lens_fit: the network sees the lens fits that the physics-informed method sees.
    """

    mode: Mode
    meaning: str
    shade: str
    backbone: str = "vit"
    sees_lens_fit: bool = False


#: Name of a row -> what it is. They stand in this order, above the methods.
BASELINES = {
    RADIAL: BaselineRow(
        "linear", "a probe of radial features, which need no network", shade="black"
    ),
    DETECTION: BaselineRow(
        "linear",
        "a probe of order statistics of the S/N maps of lens fits, which need no network",
        shade="0.15",
        sees_lens_fit=True,
    ),
    LENS_FIT: BaselineRow(
        "linear",
        "a probe of parameters, errors and chi^2 of lens fits alone",
        shade="0.3",
        sees_lens_fit=True,
    ),
    "untrained": BaselineRow("linear", "a probe of a network with random weights", shade="0.55"),
    "untrained:lens-fit": BaselineRow(
        "linear", "the same with lens fits", shade="0.75", sees_lens_fit=True
    ),
    "scratch": BaselineRow("full", "the same network trained on these labels alone", shade="0.35"),
    "scratch:lens-fit": BaselineRow(
        "full", "the same with lens fits", shade="0.45", sees_lens_fit=True
    ),
    "resnet18": BaselineRow(
        "full", "a ResNet18 trained on these labels alone", shade="0.6", backbone="resnet18"
    ),
}


def base_method(name: str) -> str:
    """The method of a row: ``ijepa`` of the ablation ``ijepa:no-guard``."""
    return name.partition(":")[0]


def has_own_encoder(name: str) -> bool:
    """Tell whether a probed row has an encoder or lens fits without a pretraining behind them."""
    return name in BASELINES and name != RADIAL


def explain_baselines(names: Sequence[str], begin: str = "`", end: str = "`") -> str:
    """The meanings of baseline rows, as ``a is ...; b is ...``; their names between marks."""
    return "; ".join(f"{begin}{name}{end} is {BASELINES[name].meaning}" for name in names)


def mode_columns(found: Iterable[tuple[str, Budget]]) -> list[tuple[str, Budget]]:
    """Each mode and budget once, in the order of columns: probes first, budgets growing."""

    def order(column: tuple[str, Budget]) -> tuple[bool, float]:
        mode, budget = column
        return mode == "full", math.inf if budget == "all" else budget

    return sorted(set(found), key=order)
