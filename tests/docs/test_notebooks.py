"""The notebooks run, and print and draw what they show; what is stored of them is small and tidy.

Each runs as it stands, in an empty folder and in a process of its own; the cell `parameters` has
the values of `SMALL`. A last cell, `CLAIMS`, states what the text says of the numbers.
"""

import ast
import base64
import copy
import io
import re
import runpy
from pathlib import Path

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
RUNNER = runpy.run_path(str(ROOT / "docs" / "run_notebooks.py"))
NOTEBOOKS = {path.stem: path for path in RUNNER["FOLDER"].glob("*.ipynb")}

#: The cell `parameters` of each notebook that has one, at the size of the test.
SMALL = {
    "model_own_cutouts": "noise_draws = 10",
    "compare_methods": """
pretrain_images, probe_images = 32, 60
epochs = {"mae": 1, "simclr": 1, "physics-ijepa": 1}
network = {"embed_dim": 24, "depth": 1, "num_heads": 3}
""",
}

#: What the text of each notebook says, of variables of the notebook.
CLAIMS = {
    "trace_rays": """
assert [curve.kind for curve in curves] == ["tangential", "radial", "radial"]
assert int(images.mask.sum()) == 4
assert off < 1e-5  # of the derivatives
assert off_alpha < 1e-7
assert off_rays < 1e-7
""",
    "model_own_cutouts": """
assert 1.03 < result.chi2_dof[0] < 1.09  # a little large
sigmas = {n: (float(result.params[n][0]) - t) / float(result.errors[n][0])
          for n, t in {"theta_E": 1.0, "gamma2": 0.02}.items()}
assert 2.5 < sigmas["gamma2"] < 3.5
assert -3 < sigmas["theta_E"] < -2
rows = {row["name"]: row for row in table}
assert all(abs(row["theta_E"] - 1) < 0.01 for row in rows.values())
assert {name: row["flags"] or "" for name, row in rows.items()} == {
    "perturbed": "", "smooth": "", "spiral": "poor fit"}
maps = {kind: {n: read_maps(folder / f"{kind}/lenses/{n}.fits") for n in scenes}
        for kind in ("models", "richer")}
largest = {kind: {n: np.nanmax(snr) for n, (snr, _) in of.items()} for kind, of in maps.items()}
assert largest["models"]["smooth"] < 3.5
assert largest["models"]["spiral"] > largest["models"]["perturbed"] > 7
snr, least = maps["models"]["perturbed"]
j, i = np.unravel_index(np.nanargmax(snr), snr.shape)
assert np.hypot(float(x[j, i]) + 0.75, float(y[j, i]) - 0.72) < 0.12
assert abs(snr[j, i] * least[j, i] / 5 - 1.1e9) < least[j, i] / 5  # one error
redshifts = {"z_lens": 0.3, "z_source": 1.2}
solar = lp.detect(result, **redshifts).error / lp.detect(result).error  # masses of 1 arcsec^2
assert 1.05e9 < 0.08**2 * float(solar[0, 25, 25]) < 1.15e9
assert np.isnan(least[0, 0])  # outside of the field
assert np.nanmin(least) < 5e8
assert 2.5 < by_chance.median() < 3.7
assert by_chance.max() < 5
assert largest["richer"]["spiral"] < 4.5
assert largest["richer"]["perturbed"] > 6.5
""",
    "compare_methods": """
assert list(right) == rows and set(rows) == set(features)
assert len(test) == 20 and not set(train) & set(test)
assert np.bincount(data.label[test]).max() <= 7  # all classes alike
assert all(low <= accuracy[name] <= high for name, (low, high) in interval.items())
assert (folder / "physics-ijepa" / "encoder.safetensors").is_file()
""",
}
#: Cells whose numbers depend on the parameters: their words are compared alone.
_OF_PARAMETERS = {"model_own_cutouts": {"by_chance"}, "compare_methods": {"print"}}
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_LARGEST = 300_000
STATISTICS_ADDED = "physics-ijepa + statistics over detection statistics"


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_parameters(cell: nbformat.NotebookNode) -> bool:
    return RUNNER["PARAMETERS"] in cell.metadata.get("tags", [])


def made_small(name: str) -> nbformat.NotebookNode:
    """A notebook without outputs, at the size of the test, and what its text says as last cell."""
    notebook = read(name)
    for cell in code_cells(notebook):
        cell.outputs = []
        if is_parameters(cell):
            cell.source = SMALL[name]
    notebook.cells.append(nbformat.v4.new_code_cell(CLAIMS[name]))
    return notebook


def assigned(code: str) -> set[str]:
    """Names that a cell of parameters gives values to."""
    targets = [target for node in ast.parse(code).body for target in node.targets]
    return {
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    }


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def words(text: str) -> list[str]:
    """Lines without numbers, and without what a table has between its columns."""
    return [" ".join(_NUMBER.sub("#", line).split()) for line in text.splitlines()]


def pictures(cell: nbformat.NotebookNode) -> list[str]:
    return [
        output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_and_shows_what_it_says(name, tmp_path):
    shown, ran = read(name), made_small(name)
    RUNNER["execute"](ran, tmp_path, {"OMP_NUM_THREADS": "1"})
    for stored, fresh in zip(code_cells(shown), code_cells(ran), strict=False):
        before, now = printed(stored), printed(fresh)
        assert words(before) == words(now)
        assert len(pictures(stored)) == len(pictures(fresh))
        if any(part in stored.source for part in _OF_PARAMETERS.get(name, ())):
            continue
        for one, other in zip(_NUMBER.findall(before), _NUMBER.findall(now), strict=True):
            # Processors round differently; what is below 1e-5 is rounding itself.
            assert float(other) == pytest.approx(float(one), rel=0.1, abs=1e-5), (before, now)


def test_the_text_on_the_comparison_follows_from_the_numbers_that_it_stores():
    text = "".join(printed(cell) for cell in code_cells(read("compare_methods")))
    row = re.compile(r"^(.+?):? +[-+]?(\d\.\d+) +\[(.+), (.+)\]$", re.MULTILINE)
    interval = {name: (float(low), float(high)) for name, _, low, high in row.findall(text)}
    assert len(interval) == 11
    for name in ("radial features", "mae", "simclr"):  # none is better than guessing
        assert interval[name][0] < 1 / 3 < interval[name][1]
    for name in ("physics-ijepa", "physics-ijepa, untrained"):
        assert interval[name][0] > 0.6
    gain = {name: ends for name, ends in interval.items() if " over " in name}
    assert gain["physics-ijepa over mae"][0] > 0.3
    # No gain is shown by pretraining, nor by what is added to the baseline, which is ahead.
    for name in ("physics-ijepa over physics-ijepa, untrained", STATISTICS_ADDED):
        assert gain[name][0] < 0 < gain[name][1]
    assert gain["detection statistics over physics-ijepa"][0] > 0


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_at_the_size_of_the_test_has_the_same_parameters(name):
    cells = [cell.source for cell in code_cells(read(name)) if is_parameters(cell)]
    assert [assigned(source) for source in cells] == [
        assigned(code) for code in [SMALL.get(name)] if code
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_stored_is_of_one_full_run_without_an_error_or_a_place_of_this_machine(name):
    notebook = read(name)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    for output in RUNNER["outputs"](notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        texts = [
            output.get("text", ""),
            *(t for k, t in output.get("data", {}).items() if "/" in k),
        ]
        for text in texts:
            if len(text) < 10_000:  # a picture
                assert not re.search(r"Warning|Traceback|(^|[\s'\"(=:])/\w", text), text
    assert NOTEBOOKS[name].stat().st_size < _LARGEST


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_new_run_changes_nothing_but_outputs(name):
    notebook = read(name)
    again = copy.deepcopy(notebook)
    RUNNER["normalise"](again)
    for cell in [*code_cells(notebook), *code_cells(again)]:
        for output in cell.outputs:
            output.get("data", {}).pop("image/png", None)  # its palette is chosen anew
    assert again == notebook
    assert NOTEBOOKS[name].read_text(encoding="utf-8") == nbformat.writes(read(name)) + "\n"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_picture_shows_something(name):
    found = [picture for cell in code_cells(read(name)) for picture in pictures(cell)]
    assert len(found) >= 2
    for picture in found:
        image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
        counts = sorted(count for count, _ in image.getcolors(image.width * image.height))
        assert len(counts) > 30
        assert counts[-1] < 0.95 * sum(counts)  # a chart is white for the most part


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_page_of_a_notebook_shows_its_pictures(name, site):
    html = (site / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    count = sum(len(pictures(cell)) for cell in code_cells(read(name)))
    assert len(re.findall(r"<img[^>]+src=\"\.\./_images/", html)) == count
    page = (site / "notebooks" / "index.html").read_text(encoding="utf-8")
    assert f'href="{name}.html"' in page
    assert f"{name}.ipynb" in page  # to download


def test_a_cell_that_warns_is_not_stored(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("import warnings\nwarnings.warn('old')")]
    with pytest.raises(ValueError, match="a cell warns"):
        RUNNER["execute"](notebook, tmp_path)


def test_an_unknown_notebook_is_named_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        RUNNER["main"](["trace_ray"])
    assert stop.value.code == 2
    assert "no notebook trace_ray; there are " in capsys.readouterr().err
