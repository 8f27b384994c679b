"""Pack finished runs as the weights that ship with the package: ``python -m learn.weights.pack``.

Give ``encoder=RUN`` for a pretraining run and ``NAME=RUN`` for each fine-tuning run, by its task as
a rule. Parameters are kept in half precision where the test of the run comes out the same, and an
encoder that several networks share is kept once. Predictions, checkpoints, indices of images and
paths stay where they are.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from learn.data_description import strip_paths
from learn.inference.evaluate import evaluate
from learn.inference.export import CARD, describe, model_card
from learn.inference.loaded_encoder import LoadedEncoder, load_encoder
from learn.inference.model import Model, load_model
from learn.inference.model_file import HEADER, SHARED, read_header, shared_encoder
from learn.inference.testing import take_first
from learn.networks.encoder_files import WEIGHTS, read_description, read_weights, write_weights
from learn.run_files import CONFIG, DESCRIPTION, METRICS, MODEL
from learn.tasks import task_report
from learn.weights import shipped
from learn.weights.encoder_card import encoder_card
from learn.weights.shipped import DEFAULT, ENCODER
from lensphys.ground.config import read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import sha256, write_text
from simulate import shards

#: Bytes that all weights may have together.
MOST_BYTES = 6_000_000
#: Part of a headline measure by which half precision may change it, and of the scatter of features.
_SAME, _CLOSE = 5e-3, 1e-2
#: Images whose features are compared.
_IMAGES = 256


def pack(
    runs: Mapping[str, Path], folder: Path | None = None, say: Callable[[str], None] = print
) -> Path:
    """Pack runs beside one another; networks that are there already and not named stay.

    Args:
        runs: folders of finished runs by name; ``encoder`` names a pretraining run.
        folder: to pack into; None: where the package looks for them.
        say: called with a line on each that is packed.

    Returns:
        The folder.

    Raises:
        InputError: for runs that are not finished or whose data set is not there any more, or if
            all together have more than ``MOST_BYTES``. The folder is then as it was.
    """
    folder = shipped.FOLDER if folder is None else folder
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=folder) as name:
        stage = Path(name)
        for packed in (path.parent for path in folder.glob(f"*/{CARD}")):
            shutil.copytree(packed, stage / packed.name)
        if ENCODER in runs:
            _pack_encoder(runs[ENCODER], stage / ENCODER, say)
        for network, run in runs.items():
            if network != ENCODER:
                _pack_network(run, stage / network, network, say)
        for path in sorted(stage.glob(f"*/{MODEL}")):
            load_model(path.parent)  # one that stayed may need an encoder that was replaced
        size = sum(path.stat().st_size for path in stage.rglob("*"))
        if size > MOST_BYTES:
            raise InputError(
                f"the weights have {size:,} bytes, more than {MOST_BYTES:,}: make the encoder "
                "smaller, or fine-tune the networks with --mode linear, so that they share it"
            )
        for packed in sorted(stage.iterdir()):
            shutil.rmtree(folder / packed.name, ignore_errors=True)
            packed.replace(folder / packed.name)
    say(f"packed {size / 1e6:.2f} MB in {folder}")
    return folder


def _pack_encoder(run: Path, out: Path, say: Callable[[str], None]) -> None:
    """Pack the encoder of a pretraining run."""
    about = strip_paths(read_description(run))
    if "method" not in about:
        raise InputError(f"{ENCODER}={run} must be a pretraining run")
    whole = load_encoder(run)
    data = take_first(shards.read(Path(read_yaml(run / CONFIG)["data"])), _IMAGES)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    write_text(out / DESCRIPTION, json.dumps(about, indent=1) + "\n")
    write_weights(_halve(whole.encoder, read_weights(run / WEIGHTS)), out / WEIGHTS)
    wanted, found = (each.features_of(data) for each in (whole, load_encoder(out)))
    error = float((found - wanted).std() / wanted.std(0).mean())
    if not error < _CLOSE:
        write_weights(read_weights(run / WEIGHTS), out / WEIGHTS)
    write_text(out / CARD, encoder_card(whole, about))
    say(f"{ENCODER}: {_kept(error < _CLOSE)}; its features change by {error:.2g} of their scatter")


def _pack_network(run: Path, out: Path, name: str, say: Callable[[str], None]) -> None:
    """Pack the network of a fine-tuning run."""
    model = load_model(run)
    config, header = model.task.config, read_header(run / MODEL)
    assert config.data is not None
    if not config.data.exists():
        raise InputError(f"{run} cannot be tested: there is no data set at {config.data} any more")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    start = "none" if config.encoder == "none" else DEFAULT
    values = config.model_dump(mode="json") | {"data": None, "out": None, "encoder": start}
    write_text(out / CONFIG, yaml.safe_dump(strip_paths(values), sort_keys=False))
    write_text(out / DESCRIPTION, json.dumps(describe(model), indent=1) + "\n")
    write_text(out / METRICS, (run / METRICS).read_text(encoding="utf-8"))
    report = task_report(config.task)
    wanted = report.headline_numbers(evaluate(run, config.data).metrics)

    def write(weights: Mapping[str, Tensor], more: dict[str, str]) -> dict[str, float]:
        """Write weights, and return the measures of what was written."""
        text = json.dumps(strip_paths(header | more))
        write_weights(weights, out / MODEL, {HEADER: text})
        return report.headline_numbers(evaluate(out, config.data).metrics)

    whole, shared, more = model.task.state_dict(), shared_encoder(out), dict[str, str]()
    weights = _halve(model.task, whole)
    if shared.is_file() and _is_shared(model, load_encoder(shared.parent)):
        more[SHARED] = sha256(shared)
        weights = {key: value for key, value in weights.items() if not key.startswith("encoder.")}
    found = write(weights, more)
    same = all(math.isclose(wanted[key], found[key], rel_tol=_SAME) for key in wanted)
    if not same:
        found, more = write(whole, {}), {}
    write_text(out / CARD, model_card(model, onnx=False, network=name))
    changes = ", ".join(f"{key} {wanted[key]:.4g} to {found[key]:.4g}" for key in wanted)
    with_encoder = "shares the encoder" if more else "has an encoder of its own"
    say(f"{name}: {with_encoder}; {_kept(same)}: {changes}")


def _is_shared(model: Model, packed: LoadedEncoder) -> bool:
    """Tell whether the encoder of a network is a packed one, to the precision that is kept."""
    own, other = model.task.encoder.state_dict(), packed.encoder.state_dict()
    kept = _halve(packed.encoder, own)
    return own.keys() == other.keys() and all(
        torch.equal(other[key], own[key]) or torch.equal(other[key], kept[key].to(other[key]))
        for key in other
    )


def _halve(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with the parameters of a module in half precision, where its range holds them.

    Buffers, which are constants of the data, stay as they are.
    """
    parameters = {name for name, _ in module.named_parameters()}
    largest = torch.finfo(torch.float16).max

    def keep(name: str, value: Tensor) -> Tensor:
        fits = value.is_floating_point() and bool(value.abs().max() < largest)
        return value.half() if name in parameters and fits else value

    return {name: keep(name, value) for name, value in weights.items()}


def _kept(half: bool) -> str:
    return "in half precision" if half else "in single precision, since half changes it"


def main(arguments: list[str]) -> None:
    """Pack the runs that are named on a command line."""
    pairs: dict[str, Any] = dict(text.partition("=")[::2] for text in arguments)
    if not pairs or not all(pairs.values()):
        sys.exit("usage: python -m learn.weights.pack encoder=RUN classify=RUN find=RUN ...")
    try:
        pack({name: Path(run) for name, run in pairs.items()})
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
