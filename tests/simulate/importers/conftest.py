"""Folders of images to import, and one way to import them."""

import numpy as np
import pytest

from simulate import shards
from simulate.dataset import preview
from simulate.importers.run import import_images
from tests.simulate.importers.make_files import MASS, image, object_array, options, save


@pytest.fixture(autouse=True)
def _quick_preview(monkeypatch, request):
    """Drawing takes longer than all the rest; one test looks at the picture."""
    if "undisturbed" in request.fixturenames:
        request.getfixturevalue("undisturbed")  # that of other tests too, and so with its picture
    if "real_preview" not in request.fixturenames:
        draw = lambda folder: (folder / "preview.png").write_bytes(b"picture")  # noqa: E731
        monkeypatch.setattr(preview, "write_preview", draw)


@pytest.fixture
def real_preview():
    """The picture is drawn."""


@pytest.fixture
def importing(tmp_path):
    """Imports a folder with options and reads the data set back."""

    def run_import(source, **changes):
        changes.setdefault("out", tmp_path / "out")
        lines = []
        folder, _ = import_images(source, options(**changes), warn=lines.append)
        run_import.lines = lines
        run_import.manifest = shards.read_manifest(folder)
        return shards.read(folder)

    return run_import


@pytest.fixture
def deeplensesim(tmp_path):
    """Three images a class as DeepLenseSim saves them."""
    for name in ("axion", "cdm", "no_sub"):
        for i in range(3):
            pixels = image()
            array = object_array(pixels, np.float64(MASS * (i + 1))) if name == "axion" else pixels
            save(tmp_path / "Model" / name / f"{name}_sim_{i}.npy", array)
    return tmp_path / "Model"


@pytest.fixture
def deeplense_tests(tmp_path):
    for part, n in (("train", 3), ("val", 1)):
        for name in ("no", "sphere", "vort"):
            for i in range(n):
                save(tmp_path / "dataset" / part / name / f"{i}.npy", image(12)[None])
    return tmp_path / "dataset"


@pytest.fixture
def pairs(tmp_path):
    for i in range(20):
        high = image(12)
        save(tmp_path / "SR" / "HR" / f"sample{i}.npy", high[None])
        save(tmp_path / "SR" / "LR" / f"sample{i}.npy", high.reshape(6, 2, 6, 2).mean((1, 3))[None])
    return tmp_path / "SR"
