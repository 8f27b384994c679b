"""The figure of accuracy and true-positive rate against the signal."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from PIL import Image

from learn.compare.plan import plan
from learn.compare.showing.accuracy_by_signal import draw_accuracy_by_signal
from tests.learn.compare.conftest import tier

OLD = {"median": [1.0, 10.0, 100.0], "count": [20.0, 5.0, 40.0], "correct": [2.0, 5.0, 30.0]}
NEW = OLD | {"detected": [4.0, 5.0, 36.0]}


def results(rows: dict[str, dict[str, Any]]) -> dict[Any, Any]:
    cells = [c for c in plan(tier("smoke")) if c.preset == "physical" and c.finetune_model == 3]
    return {
        cell: {"metrics": {"sensitivity": {"perturbation_snr": rows[cell.method]}}}
        for cell in cells
        if cell.method in rows and cell.mode == "linear"
    }


def test_cells_without_counts_of_detections_are_drawn_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves: list[tuple[str, list[float]]] = []
    drawn = Axes.plot

    def plot(ax: Axes, *values: Any, **style: Any) -> Any:
        curves.append((style["label"], values[1]))
        return drawn(ax, *values, **style)

    monkeypatch.setattr(Axes, "plot", plot)
    found = results({"radial": OLD, "mae": NEW})
    draw_accuracy_by_signal(tmp_path / "new.png", tier("smoke"), found)
    # Two seeds of 20, 5 and 40 images: the middle bin has too few.
    accuracy, detections = [0.1, 0.75], [0.2, 0.9]
    assert curves == [("radial", accuracy), ("mae", accuracy), ("mae", detections)]
    draw_accuracy_by_signal(tmp_path / "old.png", tier("smoke"), results({"radial": OLD}))
    heights = [Image.open(tmp_path / name).height for name in ("old.png", "new.png")]
    assert heights[1] > 1.9 * heights[0], "a row of panels a measure"


def test_there_is_no_figure_of_nothing(tmp_path: Path) -> None:
    found = {cell: {"metrics": {"accuracy": 0.5}} for cell in results({"radial": OLD})}
    assert draw_accuracy_by_signal(tmp_path / "figure.png", tier("smoke"), found) is None


def test_a_panel_without_enough_images_stays_empty(tmp_path: Path) -> None:
    few = {name: [min(v, 9.0) for v in values] for name, values in NEW.items()}
    path = tmp_path / "few.png"
    assert draw_accuracy_by_signal(path, tier("smoke"), results({"mae": few})) == path
    assert path.is_file()
