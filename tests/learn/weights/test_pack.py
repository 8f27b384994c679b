"""Runs as the weights that ship."""

import fnmatch
import json
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from learn import load_encoder, load_model
from learn.inference.evaluate import evaluate
from learn.weights import pack as packing
from learn.weights.pack import main, pack
from lensphys.ground.errors import InputError
from simulate import shards

ROOT = Path(__file__).parents[3]
NETWORK = ["README.md", "config.yaml", "encoder.json", "metrics.json", "model.safetensors"]


def quiet(line: str) -> None:
    """Say nothing."""


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_is_packed_but_what_a_network_needs(
    packed: Path, model2: Path, encoder_run: Path
) -> None:
    files = {path.name: sorted(each.name for each in path.iterdir()) for path in packed.iterdir()}
    encoder = ["README.md", "encoder.json", "encoder.safetensors"]
    assert files == {"encoder": encoder, "classify": NETWORK, "regress": NETWORK}
    for name, content in contents(packed).items():
        for place in (model2, encoder_run):
            assert str(place.parent).encode() not in content, name
        assert b"sha256" not in content or name.endswith((".json", ".safetensors"))


def test_the_files_of_weights_are_part_of_a_wheel(packed: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["learn"]
    for name in contents(packed):
        assert any(fnmatch.fnmatchcase(f"weights/{name}", pattern) for pattern in patterns), name


def test_networks_predict_as_their_runs_do(packed: Path, probe: Path, regressor: Path) -> None:
    for name, run in (("classify", probe), ("regress", regressor)):
        images = shards.read(load_model(run).task.config.data).image[:8]
        found, wanted = (load_model(each)(images) for each in (packed / name, run))
        assert (found - wanted).abs().max() < 2e-3 * wanted.abs().max()
        metrics = json.loads((packed / name / "metrics.json").read_text())
        assert metrics == json.loads((run / "metrics.json").read_text())


def test_an_encoder_that_stayed_as_it_was_is_kept_once(packed: Path) -> None:
    names = ("classify", "regress")
    weights = {name: load_file(packed / name / "model.safetensors") for name in names}
    assert not any(name.startswith("encoder.") for name in weights["classify"])
    assert any(name.startswith("encoder.") for name in weights["regress"])
    ours, theirs = (load_encoder(packed / name).encoder for name in ("classify", "encoder"))
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


def test_parameters_are_halved_and_constants_of_the_data_are_not(packed: Path) -> None:
    weights = load_file(packed / "classify/model.safetensors")
    assert weights["head.last.weight"].dtype == torch.float16
    assert weights["stretch.softening"].dtype == torch.float32
    assert load_file(packed / "encoder/encoder.safetensors")["vit.norm.weight"].element_size() == 2


def test_weights_stay_whole_where_half_precision_changes_a_result(
    probe: Path, encoder_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_SAME", 0.0)
    lines: list[str] = []
    pack({"encoder": encoder_run, "classify": probe}, tmp_path, lines.append)
    assert "in single precision, since half changes it" in lines[1]
    weights = load_file(tmp_path / "classify/model.safetensors")
    assert weights["head.last.weight"].dtype == torch.float32
    assert any(name.startswith("encoder.") for name in weights)


def test_a_packed_network_is_evaluated_where_its_data_are_named(
    packed: Path, probe: Path, model2: Path
) -> None:
    with pytest.raises(InputError, match="does not state its data set; name one with --data"):
        evaluate(packed / "classify")
    found = evaluate(packed / "classify", model2)
    assert len(found.rows) == 6, "the test images of the run"


def test_what_does_not_fit_leaves_the_folder_as_it_was(
    packed: Path, regressor: Path, probe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(packed, tmp_path / "weights")
    before = contents(folder)
    with pytest.raises(InputError, match="must be a pretraining run"):
        pack({"encoder": regressor}, folder, quiet)
    with pytest.raises(InputError, match="is not a run"):
        pack({"find": tmp_path / "nothing"}, folder, quiet)
    moved = shutil.copytree(probe, tmp_path / "moved")
    text = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(text.replace("data: /", "data: /gone/"))
    with pytest.raises(InputError, match="cannot be tested: there is no data set at"):
        pack({"classify": moved}, folder, quiet)
    monkeypatch.setattr(packing, "MOST_BYTES", 100_000)
    with pytest.raises(InputError, match="more than 100,000: make the encoder smaller"):
        pack({"regress": regressor}, folder, quiet)
    assert contents(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == ["classify", "encoder", "regress"]


def test_a_network_without_the_encoder_that_it_shares_is_refused(
    packed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(packed, tmp_path / "weights")
    weights = folder / "encoder/encoder.safetensors"
    with safe_open(weights, "pt") as file:
        assert file.keys()
    weights.write_bytes(weights.read_bytes()[:-2] + b"\x00\x00")
    with pytest.raises(InputError, match="which is another; install the package again"):
        load_model(folder / "classify")
    weights.unlink()
    with pytest.raises(InputError, match="which is not there; install the package again"):
        load_model(folder / "classify")


def test_the_command_names_its_use_and_its_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learn.weights.shipped.FOLDER", tmp_path)
    with pytest.raises(SystemExit, match=r"usage: python -m learn\.weights\.pack encoder=RUN"):
        main(["classify"])
    with pytest.raises(SystemExit, match="error: nothing is not a run"):
        main(["classify=nothing"])
