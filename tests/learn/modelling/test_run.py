"""Many lenses, one after another: nothing is lost, and nothing is done twice."""

import csv
import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import cli
from learn.modelling.output.draws_file import draws_file
from learn.modelling.output.output_files import MANIFEST, read_manifest
from learn.modelling.reading.lens_files import Given, find_lenses
from learn.modelling.run import describe, model_lenses
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled
from tests.learn.modelling.make_lenses import (
    N,
    euclid,
    header,
    image,
    kernel,
    settings,
    write,
)

ROOT = Path(__file__).parents[3]


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


def test_draws_from_the_posterior_are_made_on_request(run, solver, tmp_path, monkeypatch):
    drawn = []

    def write_draws(model, folder, count, seed, *, overwrite):
        drawn.append((model.data.name, count, seed))
        draws_file(folder, model.data.name).parent.mkdir(exist_ok=True)
        draws_file(folder, model.data.name).write_bytes(b"")

    monkeypatch.setattr("learn.modelling.run.write_draws", write_draws)
    run(samples=50, seed=7)
    assert drawn == [("J1", 50, 7), ("J2", 50, 7), ("J3", 50, 7)]
    draws_file(tmp_path / "models", "J3").unlink()
    run(samples=50, seed=7)
    assert solver.names == ["J3"]


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
        InputError, match=r"holds models with source_order = null, not 4; choose another --out, or"
    ):
        run(source_order=4)
    assert solver.names == []
    run(source_order=4, overwrite=True)
    assert solver.names == ["J1", "J2", "J3"]
    assert json.loads((tmp_path / "models" / MANIFEST).read_text())["settings"]["source_order"] == 4
    run(source_order=4, device="cpu")  # where it is computed makes no difference
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
    model = dataclasses.replace(model, result=result)
    line = "J1234+5678: theta_E = 1.235 ± 0.012 arcsec, chi^2/dof = 1.23, poor fit, neighbour"
    assert describe(model) == line


# The command line.


@pytest.fixture
def call(solver, capsys, monkeypatch, tmp_path):
    """Runs a command line: exit code, standard output, and the lines on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        with pytest.raises(SystemExit) as stop:
            cli.main(["model", *shlex.split(line)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(stop.value.code or 0), out, err.splitlines()

    return run


def test_the_command_says_what_it_took_found_and_wrote(call, lenses, tmp_path):
    (tmp_path / "J2" / "psf.fits").unlink()
    euclid(tmp_path / "1234.fits")
    code, out, lines = call("lenses.csv 1234.fits --source sersic --seed 3 --out made")
    assert code == 0
    assert out == "table: made/table.csv\npage: made/index.html\nwrote made (3 lenses, 1 skipped)\n"
    taken = (
        "1234: 1234.fits: from VIS_FLUX (extension 4), one of the 9 images in the file; not taken:"
    )
    assert any(line.startswith(taken) for line in lines)
    assert "skipped lenses.csv, row 2 (J2): there is no psf file 'J2/psf.fits'" in lines
    assert any(line.startswith("J1: theta_E = ") for line in lines)
    assert any(line.startswith("model: ") and "4/4" in line for line in lines)
    code, out, lines = call("lenses.csv 1234.fits --source sersic --seed 3 --out made")
    assert (code, out.splitlines()[-1]) == (0, "wrote made (0 lenses, 3 there already, 1 skipped)")


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        ("psf", "J1 --psf bad.fits", "J1: its PSF (bad.fits) cannot be used: "),
        ("noise", "J1 --noise bad.fits", "J1: bad.fits has no value above 0"),
        (
            "mask",
            "J1 --mask bad.fits",
            "only 0 of its 1600 pixels are good, 1600 of them by bad.fits",
        ),
        ("shape", "J1 --noise bad.fits", "has 40 x 40 pixels and its noise (bad.fits) 40 x 39"),
        (
            "shape",
            "lenses.csv",
            "lenses.csv, row 1 (J1): the image has 40 x 40 pixels and its noise",
        ),
        (
            "wcs",
            "J1",
            "image.fits has no WCS and no keyword with its pixel scale; give --pixel-scale",
        ),
        ("column", "lenses.csv", "lenses.csv lacks the column 'psf'"),
        ("file", "lenses.csv", "lenses.csv, row 1 (J1): there is no image file 'J1/image.fits'"),
        (
            "none",
            "bad.fits",
            "bad.fits holds no noise map, and none lies beside it; give --noise FILE",
        ),
        ("text", "bad.fits", "bad: bad.fits: it is not a FITS file"),
    ],
)
def test_bad_input_ends_in_one_line_that_names_the_lens(
    call, lenses, tmp_path, change, line, message
):
    bad = tmp_path / "bad.fits"
    lines = lenses.read_text().splitlines()
    lenses.write_text("\n".join(lines[:2]) + "\n")
    changes = {
        "psf": lambda: write(bad, np.zeros((5, 5))),
        "noise": lambda: write(bad, np.zeros((N, N))),
        "mask": lambda: write(bad, np.ones((N, N))),
        "wcs": lambda: write(tmp_path / "J1" / "image.fits", image()),
        "column": lambda: lenses.write_text("name,image,noise\nJ1,a,b\n"),
        "file": lambda: (tmp_path / "J1" / "image.fits").unlink(),
        "none": lambda: write(bad, image(), header()),
        "text": lambda: bad.write_text("words"),
        "shape": lambda: [
            write(path, np.ones((N, N - 1))) for path in (bad, tmp_path / "J1" / "noise.fits")
        ],
    }
    changes[change]()
    code, out, lines = call(line)
    assert (code, out) == (2, "")
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert not (tmp_path / "models").exists()


def test_a_psf_of_even_size_is_told(call, lenses, tmp_path):
    write(tmp_path / "J1" / "psf.fits", kernel(8))
    code, _, lines = call("J1")
    assert code == 0
    assert any(line.startswith("J1: PSF psf.fits: ") for line in lines)


def test_a_killed_run_leaves_whole_lenses_alone(lenses, tmp_path):
    """In a process of its own, which is killed while it models the second lens."""
    code = f"""
import os, shlex, signal, sys
sys.path[:0] = [{str(ROOT)!r}]
from learn.modelling import run
from tests.learn.modelling.lenses import modelled
def model_lens(data, settings):
    if data.name == "J2":
        os.kill(os.getpid(), signal.SIGKILL)
    return modelled(name=data.name, searched=False)
run.model_lens = model_lens
import cli
cli.main(["model", {str(lenses)!r}, "--out", {str(tmp_path / "models")!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = sorted(path.name for path in (tmp_path / "models" / "lenses").iterdir())
    assert there == ["J1.fits", "J1.json", "J1.png"]
    assert read_manifest(tmp_path / "models")["source"] == "shapelets"
