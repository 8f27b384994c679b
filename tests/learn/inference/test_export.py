"""A network as a folder that others can use."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import cli
from learn import load_model
from learn.inference.export import export, write_onnx
from lensphys.ground.errors import InputError
from simulate import shards


def test_an_exported_network_is_the_network(classifier: Path, model2: Path, tmp_path: Path) -> None:
    folder = export(classifier, tmp_path / "out")
    names = ["README.md", "config.yaml", "encoder.json", "metrics.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    images = shards.read(model2).image[:4]
    model = load_model(folder)
    assert torch.equal(model(images), load_model(classifier)(images))
    assert model.label_names == ["no_sub", "cdm", "axion"]
    assert (model.size, model.pixel_scale) == (64, 0.101)
    for path in folder.glob("*.[jmy]*"):
        assert str(model2.parent).encode() not in path.read_bytes(), "no paths of this machine"
    assert export(classifier, folder) == folder, "again"


def test_three_lines_of_the_card_use_the_network(classifier: Path, tmp_path: Path) -> None:
    card = (export(classifier, tmp_path / "out") / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```", card, re.S)
    assert found
    code = found[1].replace("DIR", str(tmp_path / "out"))
    assert code.count("\n") == 3
    names = {"images": np.random.default_rng(0).random((5, 64, 64), np.float32)}
    exec(code, names)
    assert names["predictions"].shape == (5, 3)


def test_the_card_gives_purpose_scores_and_limits(
    classifier: Path, superresolver: Path, tmp_path: Path
) -> None:
    card = (export(classifier, tmp_path / "a") / "README.md").read_text()
    metrics = json.loads((classifier / "metrics.json").read_text())
    row = f"| accuracy | {metrics['accuracy']:.4g} | {metrics['radial_accuracy']:.4g} |"
    assert "| | this model | radial |" in card
    assert row in card
    for fact in (
        "| preset | published |",
        "| images | 60 |",
        "| pixel scale | 0.101 arcsec |",
        "| unit of flux | 2 e-/s |",
        "| auc.axion |",
        "shortcuts between the classes",
    ):
        assert fact in card
    assert "model.onnx" not in card
    other = (export(superresolver, tmp_path / "b") / "README.md").read_text()
    assert "| | this model | bicubic |" in other
    assert "| size | 32 x 32 pixels |" in other
    assert "| pixel scale | 0.202 arcsec |" in other


@pytest.mark.parametrize("run", ["classifier", "superresolver"])
def test_onnx_gives_the_same_numbers_for_any_batch(
    run: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = load_model(request.getfixturevalue(run))
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    softening = model.task.stretch.softening
    for batch in (1, 5):
        images = 30 * softening * torch.randn(batch, 1, model.size, model.size)
        (found,) = session.run(None, {"images": images.numpy()})
        expected = model(images).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_page_of_someone_else_is_no_model_card(classifier: Path, tmp_path: Path) -> None:
    card = export(classifier, tmp_path / "out") / "README.md"
    export(classifier, tmp_path / "out")
    card.write_text("my notes")
    with pytest.raises(InputError, match="holds other files; choose an empty folder"):
        export(classifier, tmp_path / "out")
    assert card.read_text() == "my notes"


def test_a_run_with_damaged_metrics_leaves_no_part_of_an_export(
    classifier: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(classifier, tmp_path / "run")
    (run / "metrics.json").write_text('{"accuracy": 0.')
    with pytest.raises(InputError, match=r"metrics\.json is damaged"):
        export(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_folder_of_something_else_is_refused(classifier: Path, superresolver: Path) -> None:
    for out in (classifier, superresolver):
        with pytest.raises(InputError, match="holds other files; choose an empty folder"):
            export(classifier, out)


def test_the_command_line(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(f"export {classifier} --out {tmp_path / 'out'}"))
    assert not stop.value.code
    assert capsys.readouterr().out == f"wrote {tmp_path / 'out'}\n"
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(f"export {tmp_path / 'none'}"))
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'} is not a run;")
