"""Tables of predictions hold what formats and readers take."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from astropy.table import Table

from learn.inference.outputs import is_table
from learn.inference.tables import Predicted, write_table
from learn.tasks.outliers import Resemblance
from lensphys.ground.errors import InputError

NAMES = ["é", "中文", "a,b", 'say "x"', "=1+1", "line\nbreak", "\x1b[31mred", "$x^2$", "A", "a"]


def task(names: list[str]) -> Any:
    """A task with a class of each name, and a verdict."""

    def columns(values: torch.Tensor) -> dict[str, np.ndarray]:
        columns = {f"p_{name}": values[:, i].numpy() for i, name in enumerate(names)}
        best = np.array(names)[values.argmax(1).numpy()]
        return {"predicted": best, **columns, "is_lens": values[:, 0].numpy() > 0.5}

    return SimpleNamespace(table=columns, units={})


def batch(values: list[list[float]], path: str = "a.fits") -> Any:
    numbers = torch.tensor(values)
    frame = SimpleNamespace(rows=slice(0, 8), columns=slice(0, 8), corner=(0.0, 0.0), step=1.0)
    about = {"path": Path(path), "bad": 3, "frame": frame, "wcs": None, "pixel_scale": 0.1}
    cutouts = [SimpleNamespace(index=i, **about) for i in range(len(values))]
    return Predicted(cutouts, numbers, numbers.isfinite().all(1).numpy(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits"])
def test_any_name_of_a_class_can_be_written_and_read(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"t{ending}"
    rows = np.eye(len(NAMES)).tolist()
    count = write_table(out, [batch(rows, "b\n,é.fits")], task(NAMES), overwrite=False)
    assert count == len(NAMES)
    assert is_table(out)
    table = Table.read(out)
    assert len(table) == len(NAMES)
    assert len(table.colnames) == 4 + 1 + len(NAMES) + 1 + 2
    found = np.array([table[name] for name in table.colnames[5:-3]])
    np.testing.assert_array_equal(found, np.eye(len(NAMES)))
    if ending != ".fits":
        assert list(table["predicted"])[:5] == NAMES[:5]
        assert table["file"][0] == r"b\n,é.fits"
        assert list(table["predicted"])[5:7] == [r"line\nbreak", r"\x1b[31mred"]
    else:
        assert str(table["predicted"][0]) == r"\xe9"
        assert len({name.lower() for name in table.colnames}) == len(table.colnames)


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits"])
def test_what_could_not_be_computed_is_flagged_and_has_no_class(
    tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"t{ending}"
    rows = [[0.9, 0.1], [float("nan"), float("nan")], [0.2, 0.8]]
    write_table(out, [batch(rows[:1]), batch(rows[1:])], task(["x", "y"]), overwrite=False)
    table = Table.read(out)
    assert list(np.ma.filled(table["flag"].astype("U12"), "")) == ["", "not computed", ""]
    assert np.isnan(np.ma.filled(np.ma.masked_invalid(table["p_x"]), np.nan)[1])
    assert list(np.ma.filled(table["predicted"].astype("U9"), "")) == ["x", "", "y"]
    verdicts = np.ma.filled(np.ma.asarray(table["is_lens"]).astype("U9"), "")
    assert list(verdicts) == ["True", "", "False"]
    if ending == ".csv":
        with out.open(newline="") as file:
            row = list(csv.DictReader(file))[1]
        assert (row["predicted"], row["p_x"], row["is_lens"]) == ("", "nan", "")


def test_an_image_that_could_not_be_computed_has_no_number_of_its_fit(tmp_path: Path) -> None:
    rows = [[0.9, 0.1], [float("nan"), float("nan")]]
    judged = Resemblance({"chi2_dof": np.array([1.0, 1e-16])}, np.array(["", ""]))
    out = tmp_path / "t.ecsv"
    write_table(out, [batch(rows)._replace(judged=judged)], task(["x", "y"]), overwrite=False)
    found = np.ma.filled(np.ma.asarray(Table.read(out)["chi2_dof"]), np.nan)
    np.testing.assert_array_equal(found, [1.0, np.nan])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ending", [".ecsv", ".fits"])
def test_the_error_of_a_logarithm_is_in_dex(tmp_path: Path, ending: str) -> None:
    def columns(values: torch.Tensor) -> dict[str, np.ndarray]:
        return {f"log10_axion_mass{end}": values[:, 0].numpy() for end in ("", "_error")}

    units = {"log10_axion_mass": "log10 eV", "log10_axion_mass_error": "log10 eV"}
    named: Any = SimpleNamespace(table=columns, units=units)
    out = tmp_path / f"t{ending}"
    write_table(out, [batch([[0.5]])], named, overwrite=False)
    table = Table.read(out)
    found = [str(table[name].unit) for name in units]
    assert found == (["dex(eV)", "dex"] if ending == ".ecsv" else ["None", "None"])


def test_columns_of_a_task_keep_clear_of_the_others(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    odd = SimpleNamespace(
        table=lambda values: {"file": np.ones(1), "flag": np.full(1, 2.0), "ra": np.full(1, 3.0)},
        units={},
    )
    write_table(out, [batch([[0.5]])], odd, overwrite=False)  # type: ignore[arg-type]
    table = Table.read(out)
    assert table["file"][0] == "a.fits"
    names = ("prediction_file", "prediction_flag", "prediction_ra")
    assert [table[name][0] for name in names] == [1.0, 2.0, 3.0]


def test_a_file_that_has_come_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match="is no table of predictions"):
        write_table(out, [batch([[0.5]])], task(["x"]), overwrite=False)
    assert out.read_text() == "mine"
    write_table(out, [batch([[0.5]])], task(["x"]), overwrite=True)
    assert is_table(out)
    assert write_table(tmp_path / "none.csv", [], task(["x"]), overwrite=False) == 0


def test_what_a_killed_run_has_left_is_cleared(tmp_path: Path) -> None:
    left, other = (tmp_path / f".{name}.{'0' * 32}.tmp" for name in ("t.csv", "u.csv"))
    for path in (left, other):
        path.touch()
    write_table(tmp_path / "t.csv", [batch([[0.5]])], task(["x"]), overwrite=False)
    assert sorted(tmp_path.iterdir()) == sorted([other, tmp_path / "t.csv"])


def test_a_table_is_written_where_a_link_leads(tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to("elsewhere/table.csv")
    assert write_table(link, [batch([[0.5]])], task(["x"]), overwrite=False) == 1
    assert (tmp_path / "elsewhere" / "table.csv").is_file()
    assert link.is_symlink()
