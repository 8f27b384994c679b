"""Figure of a training: its losses against the epoch."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from learn.reporting.figures.legend import UNNAMED, choose_named
from learn.run_files import CURVES, read_curves
from lensphys.ground.names import figure_text
from simulate.dataset.figures import save_figure

#: Characters of a title, which has the folder of a data set in it.
_LONGEST = 80


def draw_curves(folder: Path, title: str) -> Path:
    """``loss.png``: the losses in ``metrics.csv`` against the epoch."""
    rows = read_curves(folder / CURVES)
    names = [name for name in (rows[0] if rows else ()) if name.endswith("loss")]
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    # Of many parts of a loss the whole and the first have a name.
    totals = {"train_loss": "training", "val_loss": "validation"}
    named = choose_named(dict.fromkeys(names, 0.0), totals)
    for name in names:
        points = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row[name]]
        label = totals.get(name) or figure_text(name)
        style = {"marker": "o", "markersize": 3, "label": label} if name in named else UNNAMED
        ax.plot(*zip(*points, strict=True), **style)
    ax.set(xlabel="epoch", ylabel="loss", title=figure_text(title, _LONGEST))
    if all(float(row[name]) > 0 for row in rows for name in names if row[name]):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)
    if names:
        ax.legend()
    save_figure(figure, folder / "loss.png")
    return folder / "loss.png"
