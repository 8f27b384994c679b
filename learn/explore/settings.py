"""Settings of ``python cli.py explore``; defaults live in ``configs/explore/explore.yaml``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from lensphys.ground.program import program
from simulate.shards import MANIFEST

#: Options that may not concern what is shown, and what they set.
_OPTIONS = {
    "size": "size",
    "seed": "noise",
    "pixel_scale": "pixel scale",
    "hdu": "extensions",
    "index": "number",
}
#: Settings with an option of their own; others are given by --set.
_WITH_A_NAME = frozenset({*_OPTIONS, "port"})
#: Those of a lens without an image alone, of files alone, and of images alone.
_OF_NO_IMAGE = frozenset({"size", "seed"})
_OF_FILES = frozenset({"pixel_scale", "hdu"})
_OF_IMAGES = frozenset({"hdu", "index"})


class ExploreSettings(Strict):
    """Settings of the page of sliders."""

    size: int = Field(ge=16, le=128, description="pixels on a side, of a lens without an image")
    pixel_scale: float | None = Field(
        gt=0, description="arcsec; null: what the file states, and 0.08 without one"
    )
    hdu: str | None = Field(
        min_length=1,
        coerce_numbers_to_str=True,
        description="name or number of the extension with the image",
    )
    index: int | None = Field(
        ge=0, description="number of the image of a data set, or of the lens of a catalogue"
    )
    z_lens: float | None = Field(gt=0, description="null: that of the image, and 0.5 without one")
    z_source: float | None = Field(gt=0, description="likewise, and 1.0 without one")
    port: int = Field(ge=0, lt=2**16, description="0: any that is free")
    open_browser: bool
    seed: int = Field(ge=0, lt=2**32)


def check_options(source: Path | None, given: Mapping[str, Any]) -> None:
    """Refuse options that do not concern what is shown.

    Args:
        source: a file, a folder, a catalogue or a data set; None: a lens without an image.
        given: values of the options, by key.

    Raises:
        InputError: naming all of them, with the command without.
    """
    if source is not None and not Path(str(source).partition("[")[0]).exists():
        return  # reading it says so
    if source is None:
        what, foreign = "a lens without an image has no", _OF_IMAGES
    elif (source / MANIFEST).is_file():
        what, foreign = f"the data set {source} has its own", _OF_NO_IMAGE | _OF_FILES
    else:
        what, foreign = f"{source} has its own", _OF_NO_IMAGE
        if not (source.is_dir() or source.suffix.lower() == ".csv"):
            foreign |= {"index"}
    others = [key for key in given if key in foreign]
    if not others:
        return
    words = [program(), "explore", *([str(source)] if source else [])]
    for key, value in given.items():
        if key in _WITH_A_NAME:
            words += [_option(key), str(value)] if key not in foreign else []
        else:
            words += ["--set", f"{key}={value}"]
    owned = " and ".join(_OPTIONS[key] for key in others)
    if source is not None and "index" in others:
        what, owned = f"{source} is one image, and numbers are for data sets and catalogues", ""
    fault = f"{', '.join(map(_option, others))}: {what} {owned}".rstrip()
    raise InputError(f"{fault}; run `{' '.join([words[0], *map(shlex.quote, words[1:])])}`")


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
