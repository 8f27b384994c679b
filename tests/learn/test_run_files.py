"""The files of a run folder are read without torch, or refused in one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learn.run_files import read_curves, read_metrics, read_run_config
from lensphys.ground.errors import InputError


def test_curves_are_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_curves(path) == []
    path.write_text("epoch,train_loss\n0,1.5\n1,\n")
    assert read_curves(path) == [
        {"epoch": "0", "train_loss": "1.5"},
        {"epoch": "1", "train_loss": ""},
    ]


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_metrics_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged"):
        read_metrics(tmp_path)


def test_a_report_imports_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, learn.reporting.report, learn.tasks\n"
        "for task in learn.tasks.TASKS: learn.tasks.task_report(task)\n"
        "print({'torch', 'matplotlib', 'scipy.stats', 'sklearn'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_configuration_is_that_of_a_finetuning_run(classifier: Path, tmp_path: Path) -> None:
    assert read_run_config(classifier).task == "classify"
    with pytest.raises(InputError, match="is not a run"):
        read_run_config(tmp_path)
    (tmp_path / "config.yaml").write_text("method: mae\n")
    with pytest.raises(InputError, match="is a pretrain run"):
        read_run_config(tmp_path)
    shutil.copy(classifier / "config.yaml", tmp_path)
    with pytest.raises(InputError, match="is not finished"):
        read_run_config(tmp_path)
