"""The tests mirror the tree: every file with logic has a test of its name, at the same place."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("lensphys", "simulate", "learn")
#: Tests that concern several files, or one aspect of many.
SHARED = {
    "lensphys/fitting/test_fits_of_lens_light.py",
    "lensphys/fitting/test_refusals_of_fits.py",
    "lensphys/mass/test_limits.py",
    "lensphys/sampling/test_calibration.py",
    "lensphys/mass/test_population_in_blocks.py",
    "lensphys/test_array_layouts.py",
    "lensphys/test_extension.py",
    "lensphys/test_moved_lenses.py",
    "lensphys/test_places.py",
    "lensphys/test_supersampled_images.py",
    "simulate/importers/test_sizes_that_differ.py",
    "simulate/test_extension.py",
    "simulate/test_faults.py",
    "simulate/test_parity.py",
    "learn/inference/test_places_on_the_sky.py",
    "learn/test_extension.py",
}
#: Folders whose own file holds logic; their tests bear the name of the folder.
FOLDERS = {"simulate/presets", "simulate/substructure"}
#: Registries, whose few lines run in the tests of all that they name.
REGISTRIES = {
    "lensphys/mass/__init__.py",
    "lensphys/light/__init__.py",
    "learn/__init__.py",
    "learn/methods/__init__.py",
    "learn/tasks/__init__.py",
    "simulate/backends/__init__.py",
}


def has_logic(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))


def place_of_test(path: Path) -> str:
    """The place of the test of a source file, below ``tests``."""
    folder = path.parent.relative_to(ROOT)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return (folder / f"test_{name}.py").as_posix()


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_every_file_with_logic_has_a_test_of_its_name() -> None:
    without = [
        name
        for path in sources()
        if (name := path.relative_to(ROOT).as_posix()) not in REGISTRIES
        and has_logic(path)
        and not (ROOT / "tests" / place_of_test(path)).is_file()
    ]
    assert not without


def test_no_test_bears_the_name_of_a_file_that_is_not_there() -> None:
    known = {place_of_test(path) for path in sources() if path.name != "__init__.py"} | SHARED
    known |= {f"{folder}/test_{folder.rpartition('/')[2]}.py" for folder in FOLDERS}
    found = {
        path.relative_to(ROOT / "tests").as_posix()
        for package in PACKAGES
        for path in (ROOT / "tests" / package).rglob("test_*.py")
    }
    assert found - known == set()
    assert found >= SHARED
