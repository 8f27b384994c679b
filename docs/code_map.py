"""The map of the code: three packages, the rooms of each, and what travels between them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from pictures import save


@dataclasses.dataclass(frozen=True)
class Package:
    """One floor of the map."""

    tagline: str
    colour: str
    #: Content of each room, in a few words.
    rooms: dict[str, str]
    #: Content of the files at the top of the package.
    top: str
    #: Things that the floor above receives.
    hands_up: str


#: The floors, lowest first.
FLOORS = {
    "lensphys": Package(
        "physics, in torch",
        "#d7e8f5",
        {
            "ground": "configuration, errors, files",
            "mass": "deflectors",
            "light": "sources",
            "psf": "blur of a telescope",
            "kernels": "compiled loops for CPUs",
            "fitting": "images to lenses",
            "detection": "dark-matter maps",
            "sampling": "draws of posteriors",
            "export": "tables, words, pictures",
        },
        "lenses, optics, rendering, cosmology",
        "rays, rendered images, fitted lenses",
    ),
    "simulate": Package(
        "data sets",
        "#dff0d8",
        {
            "presets": "draw scenes",
            "substructure": "haloes, vortices",
            "sources": "galaxies",
            "light": "lens light, look-alikes",
            "backends": "scenes to images",
            "dataset": "labels, inspection",
            "importers": "images of others",
            "augment": "turn, shift, blur",
        },
        "scenes, detector, shards, workers",
        "HDF5 shards: images, labels, parameters",
    ),
    "learn": Package(
        "networks",
        "#fbe9d0",
        {
            "commands": "options and help",
            "lens_fits": "the lens, solved first",
            "views": "what a network sees",
            "networks": "encoders and heads",
            "methods": "pretraining losses",
            "tasks": "classify, regress, ...",
            "training": "loop, monitor",
            "baselines": "no network",
            "inference": "evaluate, predict, embed",
            "weights": "networks that ship",
            "modelling": "models of real lenses",
            "explore": "a page of sliders",
            "reporting": "tables, figures, pages",
            "compare": "methods side by side",
        },
        "pretrain, finetune, audit, demo",
        "runs: weights, metrics, predictions",
    ),
}
#: The front door, above all floors.
DOOR = ("cli.py", "one command, one function below")
_COLUMNS = 5


def draw_code_map(path: Path) -> None:
    """Draw the floors from the ground up, with arrows for what goes from one to the next."""
    rows = {name: math.ceil(len(floor.rooms) / _COLUMNS) for name, floor in FLOORS.items()}
    heights = {name: 0.62 + 0.72 * count for name, count in rows.items()}
    gap, door = 0.55, 0.6
    total = sum(heights.values()) + gap * len(FLOORS) + door
    figure = Figure(figsize=(9.6, total * 0.98))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set(xlim=(0, 10), ylim=(0, total))
    ax.axis("off")
    bottom = 0.0
    for name, floor in FLOORS.items():
        _draw_floor(ax, name, floor, bottom, heights[name])
        bottom += heights[name]
        ax.annotate(
            "", (2.2, bottom + gap), (2.2, bottom), arrowprops={"arrowstyle": "-|>", "lw": 1.8}
        )
        ax.text(2.4, bottom + 0.5 * gap, floor.hands_up, va="center", fontsize=10, style="italic")
        bottom += gap
    _box(ax, 0.05, bottom + 0.04, 9.9, door - 0.08, "#eeeeee")
    title, text = DOOR
    ax.text(0.25, bottom + 0.5 * door, title, weight="bold", va="center", family="monospace")
    ax.text(1.7, bottom + 0.5 * door, text, va="center", fontsize=10)
    save(figure, path, dpi=100)


def _draw_floor(ax: Axes, name: str, floor: Package, bottom: float, height: float) -> None:
    _box(ax, 0.05, bottom + 0.02, 9.9, height - 0.04, floor.colour)
    title = bottom + height - 0.32
    ax.text(0.25, title, name, weight="bold", va="center", family="monospace", fontsize=12)
    ax.text(1.7, title, f"{floor.tagline}. At the top: {floor.top}", va="center", fontsize=10)
    width = 9.6 / _COLUMNS
    for i, (room, text) in enumerate(floor.rooms.items()):
        row, column = divmod(i, _COLUMNS)
        left = 0.2 + column * width
        low = bottom + height - 0.62 - 0.72 * (row + 1) + 0.08
        _box(ax, left + 0.04, low + 0.04, width - 0.08, 0.62, "white")
        middle = left + 0.5 * width
        style = {"ha": "center", "va": "center"}
        ax.text(middle, low + 0.48, f"{room}/", family="monospace", fontsize=10, **style)
        ax.text(middle, low + 0.21, text, fontsize=8.5, color="0.3", **style)


def _box(ax: Axes, left: float, bottom: float, width: float, height: float, colour: str) -> None:
    shape = f"round,pad=0,rounding_size={0.08}"
    box = FancyBboxPatch(
        (left, bottom), width, height, boxstyle=shape, facecolor=colour, edgecolor="0.4", lw=0.9
    )
    ax.add_patch(box)
