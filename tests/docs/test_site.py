"""The site builds without a warning, every profile has its page, and the code on it runs."""

import re
import runpy
import sys
from html import unescape
from pathlib import Path

import pytest
import torch
import typer

import cli
import lensphys as lp
from learn.methods import METHODS
from learn.tasks import TASKS
from lensphys import light, mass
from lensphys.instruments import INSTRUMENTS
from simulate.dataset import columns
from simulate.presets import PRESETS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BY_HAND = sorted(
    path
    for path in DOCS.rglob("*.md")
    if path.relative_to(DOCS).parts[0] not in ("_build", "generated")
)
#: Pages with commands too are run whole, in `test_tutorial_blocks.py`.
WITH_CODE = [p for p in BY_HAND if "```python" in p.read_text() and "```bash" not in p.read_text()]


MASS, LIGHT = list(mass.MASSES), list(light.LIGHTS)
PAGES = [*(("mass", name) for name in MASS), *(("light", name) for name in LIGHT)]


def run_blocks(page: Path) -> dict:
    """Runs the Python on a page from top to bottom; returns what it defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    scope: dict = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), scope)
    return scope


@pytest.mark.parametrize("page", WITH_CODE, ids=[p.stem for p in WITH_CODE])
def test_the_code_on_every_page_runs(page, capsys):
    run_blocks(page)


@pytest.mark.parametrize(("kind", "name"), PAGES, ids=[name for _, name in PAGES])
def test_every_profile_has_a_page_with_a_figure(kind, name, site, pages, shows_something):
    html = (site / "generated" / kind / f"{name}.html").read_text()
    assert f'id="lensphys.{name}"' in html
    assert f"{name}.png" in html
    assert shows_something(pages / "generated" / kind / f"{name}.png")


@pytest.mark.parametrize(("kind", "name"), PAGES, ids=[name for _, name in PAGES])
def test_the_page_of_a_profile_gives_unit_and_range_of_every_parameter(kind, name, site):
    profile = getattr(lp, name)
    if name == "Population":
        pytest.skip("its parameters are those of its profile")
    html = (site / "generated" / kind / f"{name}.html").read_text()
    table = html[html.index("<table") : html.index("</table>")]
    for parameter in profile.parameter_names():
        assert f">{parameter}</span>" in table
    units = {f.metadata["unit"] for f in profile.__dataclass_fields__.values() if f.metadata}
    for unit in units - {""}:
        assert f"<td><p>{unit}</p></td>" in table


@pytest.mark.parametrize(("kind", "name"), PAGES, ids=[name for _, name in PAGES])
def test_the_code_on_the_page_of_a_profile_runs(kind, name, site, pages):
    scope = run_blocks(pages / "generated" / kind / f"{name}.md")
    assert isinstance(scope[kind], getattr(lp, name))


def test_the_page_of_an_example_shows_the_code_that_runs(site, pages):
    for script in (pages / "tutorials").glob("*.py"):
        html = (site / "tutorials" / f"{script.stem}.html").read_text()
        assert script.read_text() in unescape(re.sub(r"<[^>]+>", "", html))
        assert f'_images/{script.stem}.png"' in html


def test_every_instrument_is_in_the_table_with_its_version(site):
    html = (site / "reference" / "optics.html").read_text()
    for name, preset in INSTRUMENTS.items():
        assert html.count(f">{name}</span>") >= 2  # its numbers, and where they come from
        assert preset.version in html


def test_the_site_needs_nothing_from_the_network(site):
    for page in site.rglob("*.html"):
        assert not re.search(r"<(script|img)[^>]+src=\"https?:", page.read_text()), page
        assert not re.search(r"<link[^>]+stylesheet[^>]+href=\"https?:", page.read_text()), page


@pytest.fixture
def examples_of_profiles(pages, monkeypatch):
    """`docs/profiles.py`."""
    monkeypatch.syspath_prepend(str(pages))
    import profiles

    yield profiles
    del sys.modules["profiles"]


def test_a_profile_without_an_example_stops_the_build(examples_of_profiles, monkeypatch):
    monkeypatch.delitem(examples_of_profiles.MASS, "SIE")
    with pytest.raises(LookupError, match="no example of SIE: add a line to MASS"):
        examples_of_profiles.profiles("mass")


def test_single_precision_is_as_good_as_its_page_says():
    measured = runpy.run_path(str(ROOT / "benchmarks" / "float32_accuracy.py"))
    table = (DOCS / "reference" / "float32.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z][^|]*) \| (.*) \|$", table, re.MULTILINE))
    cases = measured["cases"]()
    assert set(rows) == set(cases), (
        "run benchmarks/float32_accuracy.py --write docs/reference/float32.md"
    )
    with torch.no_grad():
        for name, draw in cases.items():
            # Fewer lenses than in the table; another CPU may round differently.
            found = measured["errors"](draw, 10).values()
            for error, printed in zip(found, rows[name].split(" | "), strict=True):
                assert error <= 3 * float(printed) + 1e-12, name


def test_the_page_of_labels_has_every_column_with_unit_and_meaning(site):
    html = (site / "reference" / "labels.html").read_text(encoding="utf-8")
    for name in columns.known_columns():
        assert f">{name}</span>" in html


def test_formulas_are_drawn_by_the_browser_and_blocks_have_a_copy_button(site):
    html = (site / "explanation" / "lens_fits_in_tasks.html").read_text(encoding="utf-8")
    assert html.count("<math") >= 5
    assert "copybutton.js" in html


def test_every_command_is_in_the_reference_with_its_options(site):
    html = (site / "generated" / "commands.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(cli.app).commands.items():
        assert f'<section id="{name}">' in html
        for param in command.params:
            if param.param_type_name == "option" and not param.hidden and param.name != "help":
                assert param.opts[0] in html


@pytest.mark.parametrize("package", ["simulate", "learn"])
def test_every_room_and_file_is_in_the_reference(package, site):
    for init in (ROOT / package).rglob("__init__.py"):
        room = ".".join(init.parent.relative_to(ROOT).parts)
        html = (site / "generated" / package / f"{room}.html").read_text(encoding="utf-8")
        for module in init.parent.glob("*.py"):
            name = room if module.stem == "__init__" else f"{room}.{module.stem}"
            assert f'id="module-{name}"' in html


def test_the_pages_of_methods_tasks_and_presets_name_all_of_them():
    pages = {
        "explanation/pretraining_methods.md": METHODS,
        "how_to/train.md": TASKS,
        "explanation/presets.md": PRESETS,
    }
    for page, names in pages.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        for name in names:
            assert f"`{name}`" in text, f"{page} lacks {name}"
