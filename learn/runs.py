"""Run folders: made, found again after an interruption, and recognised when finished."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from learn.config import TrainingConfig
from learn.run_files import CONFIG, DATA, DESCRIPTION
from learn.training.processes import announced_folder, process_rank
from learn.weights import shipped
from lensphys.ground.config import read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import read_json, write_text
from lensphys.ground.locks import hold
from lensphys.ground.program import program

RUNS = Path("runs")
_PLACE = {"out"}


def identity(config: TrainingConfig) -> dict[str, Any]:
    """The part of a configuration that the result of a run depends on: all but its place."""
    return config.model_dump(mode="json", exclude=_PLACE)


@contextmanager
def run_folder(
    config: TrainingConfig, name: str, marker: str, digest: str | None
) -> Iterator[tuple[Path, bool]]:
    """The folder of a run, held by this process alone; by the first of several that train together.

    With ``out`` given that folder; else the newest unfinished run of the same configuration and the
    same images under ``runs/<name>``, which is then resumed, or a new one.

    Args:
        config: configuration of the run, resolved.
        name: method or task.
        marker: the file that a finished run has.
        digest: of the data set; None: not known.

    Yields:
        The folder, and whether the run in it is already finished.

    Raises:
        InputError: if ``out`` holds something else, a run that was begun on other images among
            it, or cannot be written to, or another process works in it.
    """
    if process_rank(config) > 0:
        folder = announced_folder(config)
        yield folder, (folder / marker).is_file()
        return
    folder = (
        config.out or _find_unfinished(config, name, marker, digest) or _new_folder(RUNS / name)
    )
    try:
        os.path.realpath(folder).encode()
    except UnicodeEncodeError:  # TensorBoard cannot write there
        raise InputError(f"the name of {folder} is no UTF-8 text; choose another --out") from None
    with hold(folder):
        _claim(folder, config)
        _claim_data(folder, config, digest)
        yield folder, (folder / marker).is_file()


def find_encoder(name: str) -> Path:
    """The run that ``--encoder`` means.

    Args:
        name: a folder; ``latest`` for the newest finished one, or ``default`` for what ships.

    Raises:
        InputError: if there is none.
    """
    if name == shipped.DEFAULT:
        return shipped.find_encoder()
    if name != "latest":
        return Path(name)
    from learn.methods import METHODS

    finished = [p for m in METHODS for p in (RUNS / m).glob(f"*/{DESCRIPTION}")]
    if not finished:
        raise InputError(
            f"there is no pretrained encoder under runs/; make one with `{program()} pretrain "
            "--method mae`, or train from scratch with --encoder none"
        )
    return max(finished, key=lambda path: path.stat().st_mtime_ns).parent


def _find_unfinished(
    config: TrainingConfig, name: str, marker: str, digest: str | None
) -> Path | None:
    wanted = identity(config)
    for path in sorted((RUNS / name).glob(f"*/{CONFIG}"), reverse=True):
        folder = path.parent
        same = _read_identity(path) == wanted and _read_digest(folder) in (None, digest)
        if same and not (folder / marker).is_file():
            return folder
    return None


def _new_folder(parent: Path) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder, count = parent / stamp, 1
    while folder.exists():
        folder, count = parent / f"{stamp}-{count}", count + 1
    return folder


def _claim(folder: Path, config: TrainingConfig) -> None:
    path = folder / CONFIG
    if not path.exists():
        if any(folder.iterdir()):
            raise InputError(f"{folder} holds other files; choose an empty folder with --out")
        write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        return
    old, new = _read_identity(path), identity(config)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            raise InputError(
                f"{folder} holds a run with {key} = {old.get(key)}, not {new.get(key)}; choose "
                "another --out"
            )


def _claim_data(folder: Path, config: TrainingConfig, digest: str | None) -> None:
    """Refuse a run that was begun on other images; keep the digest of those that a new one has."""
    if digest is None:
        return
    known = _read_digest(folder)
    if known is None:
        write_text(folder / DATA, json.dumps({"sha256": digest}) + "\n")
    elif known != digest:
        raise InputError(
            f"{folder} holds a run that was begun on other images than {config.data} has now; "
            "choose another --out"
        )


def _read_digest(folder: Path) -> str | None:
    """The digest of the images that a run was begun on; None where it is not known."""
    try:
        return str(read_json(folder / DATA)["sha256"])
    except (OSError, ValueError, KeyError):
        return None


def _read_identity(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    return {key: value for key, value in values.items() if key not in _PLACE}
