"""Many lenses, one after another: nothing is lost, and nothing is done twice."""

import csv
import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from learn.modelling import outputs
from learn.modelling.lens_files import Given, find_lenses
from learn.modelling.output_files import MANIFEST
from learn.modelling.row_files import CREATOR
from learn.modelling.run import describe, model_lenses
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled
from tests.learn.modelling.make_lenses import N, catalogue, header, image, settings, slacs, write


@pytest.fixture(autouse=True)
def solver(monkeypatch):
    """Every lens has the same model at once; counts how often it is asked for."""
    calls = SimpleNamespace(names=[], fail={})

    def model_lens(data, settings):
        calls.names.append(data.name)
        if data.name in calls.fail:
            raise calls.fail[data.name]
        return modelled(name=data.name, notes=data.notes, searched=False)

    stand_in = SimpleNamespace(model_lens=model_lens)
    monkeypatch.setitem(sys.modules, "learn.modelling.lens_model", stand_in)
    monkeypatch.setattr(outputs, "draw_lens", draw)
    return calls


def draw(path, *arguments):
    """A picture of one pixel that is known as one of the command."""
    mark = PngInfo()
    mark.add_text("Software", CREATOR)
    Image.new("L", (1, 1)).save(path, "png", pnginfo=mark)


@pytest.fixture
def lenses(tmp_path):
    """A catalogue of three lenses with WCS."""
    rows = []
    for number in (1, 2, 3):
        slacs(tmp_path / f"J{number}", head=header(), seed=number)
        files = ",".join(f"J{number}/{kind}.fits" for kind in ("image", "noise", "psf"))
        rows.append(f"J{number},{files}")
    return catalogue(tmp_path / "lenses.csv", rows)


@pytest.fixture
def run(tmp_path, lenses, solver):
    """Models the catalogue, and returns what came of it; notes go to `run.notes`."""

    def go(path=lenses, overwrite=False, **changes):
        go.notes, go.bars, solver.names[:] = [], [], []

        def progress(total, done):
            go.bars.append((total, done))
            return lambda count: go.bars.append(count)

        changes.setdefault("out", tmp_path / "models")
        found = find_lenses([path], Given())
        return model_lenses(
            found, settings(**changes), progress, go.notes.append, overwrite=overwrite
        )

    return go


def table(folder):
    with (folder / "table.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_all_lenses_are_modelled_and_a_page_and_tables_are_written(run, tmp_path):
    outcome = run()
    assert (outcome.made, outcome.there, outcome.skipped) == (3, 0, 0)
    assert outcome.line == f"wrote {tmp_path / 'models'} (3 lenses)"
    assert run.bars == [(3, 0), 1, 1, 1]
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names >= {"table.csv", "table.fits", "index.html", "lenses", MANIFEST}
    assert list(table(tmp_path / "models")) == ["J1", "J2", "J3"]


def test_the_same_command_again_has_nothing_to_do(run, solver, tmp_path):
    run()
    outcome = run()
    assert solver.names == []
    assert outcome.line == f"already complete: {tmp_path / 'models'}"
    assert run.bars == [(3, 3)]


def test_an_interrupted_run_goes_on_where_it_stopped(run, solver, tmp_path):
    solver.fail["J2"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert list(table(tmp_path / "models")) == ["J1"]  # what there is can be looked at
    solver.fail.clear()
    outcome = run()
    assert solver.names == ["J2", "J3"]
    assert (outcome.made, outcome.there) == (2, 1)


@pytest.mark.parametrize("ending", [".fits", ".png", ".json"])
def test_a_lens_of_which_a_file_is_missing_is_modelled_again(run, solver, tmp_path, ending):
    run()
    (tmp_path / "models" / "lenses" / f"J2{ending}").unlink()
    run()
    assert solver.names == ["J2"]


def test_a_damaged_row_is_made_again(run, solver, tmp_path):
    run()
    row = tmp_path / "models" / "lenses" / "J2.json"
    row.write_text(row.read_text()[:200])
    run()
    assert solver.names == ["J2"]
    json.loads(row.read_text())


@pytest.mark.parametrize("kind", ["image", "noise", "psf"])
def test_a_lens_of_which_an_input_has_changed_is_modelled_again(run, solver, tmp_path, kind):
    run()
    path = tmp_path / "J2" / f"{kind}.fits"
    data = path.read_bytes()
    path.write_bytes(data[:-2880] + bytes(4) + data[-2876:])
    run()
    assert solver.names == ["J2"]


def test_a_redshift_that_is_added_makes_a_lens_new(run, solver, lenses):
    run()
    text = (
        lenses.read_text()
        .replace("psf\n", "psf,z_lens\n")
        .replace("J3/psf.fits", "J3/psf.fits,0.5")
    )
    lenses.write_text(text)
    run()
    assert solver.names == ["J3"]


def test_other_settings_in_the_same_folder_are_refused_or_made_anew(run, solver, tmp_path):
    run()
    with pytest.raises(
        InputError, match=r"holds models with mass = EPL, not SIE; choose another --out, or"
    ):
        run(mass="SIE")
    assert solver.names == []
    run(mass="SIE", overwrite=True)
    assert solver.names == ["J1", "J2", "J3"]
    assert json.loads((tmp_path / "models" / MANIFEST).read_text())["settings"]["mass"] == "SIE"
    run(mass="SIE", device="cpu")  # where it is computed makes no difference
    assert solver.names == []


def test_one_broken_file_among_many_is_named_and_skipped(run, tmp_path):
    (tmp_path / "J2" / "noise.fits").write_bytes(b"no FITS")
    outcome = run()
    assert outcome.line == f"wrote {tmp_path / 'models'} (2 lenses, 1 skipped)"
    reason = "noise.fits: it is not a FITS file"
    assert f"skipped lenses.csv, row 2 (J2): {reason}" in run.notes
    rows = table(tmp_path / "models")
    assert (rows["J2"]["reason"], rows["J2"].get("theta_E")) == (reason, "")
    assert rows["J1"]["reason"] == ""
    run()  # it is tried again, with the others there already
    assert run.bars == [(3, 2), 1]


def test_shapes_that_differ_name_the_row_and_both_shapes(run, tmp_path):
    write(tmp_path / "J3" / "noise.fits", np.ones((N, N - 1)))
    run()
    assert any(
        "row 3 (J3): the image has 40 x 40 pixels and its noise (noise.fits) 40 x 39" in line
        for line in run.notes
    )


@pytest.mark.parametrize(
    "error", [ValueError("the image is too small"), torch.linalg.LinAlgError("singular")]
)
def test_a_lens_that_cannot_be_modelled_is_skipped(run, solver, error):
    solver.fail["J1"] = error
    assert run().skipped == 1
    assert f"row 1 (J1): it cannot be modelled: {error}" in run.notes[0]


def test_the_model_of_a_lens_stays_when_its_input_is_gone(run, tmp_path):
    run()
    (tmp_path / "J2" / "image.fits").unlink()
    run()
    assert run.notes[0].endswith("; the model of before stays")
    assert table(tmp_path / "models")["J2"]["theta_E"]


def test_nothing_to_model_is_an_error_that_leaves_nothing(run, solver, tmp_path):
    for name in ("J1", "J2", "J3"):
        solver.fail[name] = ValueError("no")
    with pytest.raises(
        InputError, match=r"none of the 3 lenses can be modelled; lenses.csv, row 1"
    ):
        run()
    assert not (tmp_path / "models").exists()
    (tmp_path / "J1" / "psf.fits").unlink()
    with pytest.raises(InputError, match=r"^J1: image.fits holds no PSF, and none lies beside it"):
        run(tmp_path / "J1")


def test_a_folder_of_other_files_is_refused(run, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "table.csv").write_text("of someone else")
    with pytest.raises(InputError, match="holds other files; choose another folder"):
        run()
    run(overwrite=True)
    assert "J1" in table(tmp_path / "models")


def test_a_folder_with_inputs_is_refused_whatever_else(run, tmp_path):
    with pytest.raises(InputError, match=r"J1/image.fits, an input; choose another --out"):
        run(out=tmp_path / "J1", overwrite=True)


def test_remarks_are_made_once_for_all_lenses(run, tmp_path):
    for number in (1, 2, 3):
        values = image(number)
        values[0, 0] = np.nan
        write(tmp_path / f"J{number}" / "image.fits", values, header())
    run()
    assert [line for line in run.notes if "masked" in line] == ["J1: 1 of 1600 pixels masked"]


def test_flags_stand_in_the_line_of_a_lens():
    model = modelled(flags=("poor fit", "neighbour"))
    result = dataclasses.replace(
        model.result,
        params=model.result.params | {"theta_E": torch.tensor([1.2349])},
        errors=model.result.errors | {"theta_E": torch.tensor([0.012])},
        chi2_dof=torch.tensor([1.234]),
    )
    model.result = result
    line = "J1234+5678: theta_E = 1.235 ± 0.012 arcsec, chi^2/dof = 1.23, poor fit, neighbour"
    assert describe(model) == line
