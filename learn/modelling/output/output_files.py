"""The folder of models: what it was made with, and what it may replace. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learn.modelling.settings import ModelSettings
from lensphys.ground.errors import InputError
from lensphys.ground.files import read_json, sha256, write_text
from lensphys.ground.names import plain_text

if TYPE_CHECKING:
    from learn.modelling.reading.lens_files import LensFiles

#: The settings that all models of a folder were made with.
MANIFEST = "models.json"
_CREATOR = "lensphys model"
_DEFAULT = Path("models")


def choose_out(settings: ModelSettings) -> Path:
    """The folder of the models: as given, or the default."""
    return settings.out or _DEFAULT


def check_folder(
    out: Path, settings: ModelSettings, lenses: Iterable[LensFiles], *, overwrite: bool
) -> None:
    """Refuse a folder where models would be lost, or mixed with others.

    Args:
        out: the folder; it need not exist.
        settings: of the models.
        lenses: that are read; none of their files may lie in it.
        overwrite: write into a folder of other files, and make models again that were made with
            other settings.

    Raises:
        InputError: for such a folder.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    place = os.path.realpath(out)
    for path in (path for lens in lenses for path in lens.paths):
        if os.path.commonpath((place, os.path.realpath(path))) == place:
            raise InputError(f"--out {out} holds {path}, an input; choose another --out")
    if overwrite or not out.is_dir():
        return
    made = read_manifest(out)
    if made is None:
        if any(out.iterdir()):
            raise InputError(
                f"--out {out} holds other files; choose another folder, or write there with "
                "--overwrite"
            )
        return
    for key, value in settings.identity().items():
        if made.get(key) != value:
            was, wanted = _as_yaml(made.get(key)), _as_yaml(value)
            raise InputError(
                f"{out} holds models with {key} = {was}, not {wanted}; "
                "choose another --out, or make them again with --overwrite"
            )


def _as_yaml(value: Any) -> Any:
    """A value as the user may write it."""
    return "null" if value is None else value


def is_output(folder: Path) -> bool:
    """True for a folder of models."""
    return (folder / MANIFEST).is_file()


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The settings of the models in a folder; None where the folder holds none.

    Raises:
        InputError: for a damaged file.
    """
    path = out / MANIFEST
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except (OSError, ValueError):
        content = {}
    settings = content.get("settings")
    if content.get("creator") != _CREATOR or not isinstance(settings, dict):
        raise InputError(
            f"{path} is damaged or of another program; choose another --out, or write there with "
            "--overwrite"
        )
    return settings


def write_manifest(out: Path, settings: ModelSettings) -> None:
    """Note in a folder the settings of its models."""
    from lensphys import __version__

    content = {"creator": _CREATOR, "version": __version__, "settings": settings.identity()}
    text = json.dumps(content, indent=1, ensure_ascii=True) + "\n"
    path = out / MANIFEST
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)


def find_origin(lens: LensFiles, settings: ModelSettings) -> dict[str, Any]:
    """All that a model depends on: its files, and a digest of these, of the catalogue and settings.

    A file that cannot be read has no digest of its own.
    """
    contents = [_digest(path) for path in lens.paths]
    named = [path and path.name for path in (lens.image, lens.noise, lens.psf, lens.mask)]
    given = [lens.pixel_scale, lens.z_lens, lens.z_source, lens.ra, lens.dec]
    text = json.dumps([contents, named, given, settings.identity()], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"files": [plain_text(path) for path in lens.paths], "digest": digest}


def _digest(path: Path) -> str | None:
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None
