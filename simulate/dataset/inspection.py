"""A data set in words: a table of its contents, and the damage to its files."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text
from lensphys.ground.room import describe_bytes
from simulate.dataset.columns import unit
from simulate.dataset.summary import Column, Summary, deflection_scale, summarize
from simulate.run import Progress
from simulate.shard_form import AGAIN
from simulate.shards import SOURCES, is_shard_intact, read_shard, shapes


def inspect(folder: Path, console: Console) -> Summary:
    """Print what a data set holds, and draw its picture again.

    Raises:
        InputError: if the folder holds no data set.
    """
    summary = summarize(folder)
    console.print(_overview(summary))
    if summary.columns:
        of = "a sample of the images" if summary.sampled else "all images"
        console.print(f"parameters that vary (median of {of})")
        console.print(_ranges([column for column in summary.columns if not column.constant]))
        console.print()
    constant = [column for column in summary.columns if column.constant]
    if constant:
        words = ", ".join(column.in_words for column in constant)
        _say(console, f"constant wherever it applies: {words}")
    _say(console, f"picture: {_picture(summary)}")
    return summary


def _say(console: Console, words: str) -> None:
    """Lines that break between words, without colours or markup."""
    console.print(
        textwrap.fill(plain_text(words), max(console.width, 60), break_long_words=False),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _picture(summary: Summary) -> str:
    if not summary.images:
        return "none, for there are no images yet"
    if not os.access(summary.folder, os.W_OK):
        return f"{summary.folder / 'preview.png'} (left as it is: the folder is read-only)"
    from simulate.dataset.preview import write_preview  # matplotlib takes a second

    return str(write_preview(summary.folder, summary))


def _overview(summary: Summary) -> Table:
    table = Table(
        title=plain_text(summary.folder), box=box.SIMPLE, show_header=False, title_justify="left"
    )
    for name, value in _facts(summary).items():
        table.add_row(name, value)
    return table


def _facts(summary: Summary) -> dict[str, str]:
    attrs, manifest = summary.attrs, summary.manifest
    facts: dict[str, str] = {}
    for name in ("model", "preset", "instrument"):
        if name in attrs:
            facts[name] = plain_text(attrs[name])
    facts["images"] = f"{summary.images:,}"
    for name, count in summary.counts.items():
        facts[f"  {plain_text(name)}"] = f"{count:,}"
    if summary.parts:
        parts = (f"{plain_text(name)} {count:,}" for name, count in summary.parts.items())
        facts["published split"] = ", ".join(parts)
    for name, column, scale in (
        ("image", "image", "pixel_scale"),
        ("low resolution", "image_lr", "pixel_scale_lr"),
    ):
        if column in summary.shapes:
            facts[name] = _of_image(summary.shapes[column], attrs.get(scale))
    if summary.padded[0]:
        facts["padding"] = _of_padding(summary)
    if "unit" in attrs:
        facts["unit"] = plain_text(attrs["unit"])
    if words := deflection_scale(summary):
        facts["deflections"] = words
    facts["shards"] = f"{len(manifest['shards']):,}, with all files {describe_bytes(summary.bytes)}"
    facts["state"] = _state(summary)
    if skipped := _skipped(manifest.get("skipped")):
        facts["skipped"] = f"{skipped:,} files that could not be imported"
    return facts


def _of_image(shape: tuple[int, ...], scale: Any) -> str:
    rows, columns = shape[-2:]
    words = f"{columns} x {rows} pixels"
    if scale is None or not scale > 0:
        return words
    return f"{words} of {scale:g} arcsec: {columns * scale:.3g} x {rows * scale:.3g} arcsec"


def _of_padding(summary: Summary) -> str:
    images, pixels = summary.padded
    ny, nx = summary.shapes["image"][-2:]
    part = pixels / (ny * nx * summary.images)
    of_all = f"{part:.1%}" if part >= 0.001 else "less than 0.1%"
    return f"around {images:,} images: {pixels:,} pixels, {of_all} of all"


def _state(summary: Summary) -> str:
    manifest = summary.manifest
    if summary.damaged:
        return f"damaged: {len(summary.damaged)} of its shards cannot be used"
    if manifest["complete"]:
        return "complete"
    total = manifest.get("n")
    done = sum(shard["n"] for shard in manifest["shards"])
    of_all = f" of {total:,} ({done / total:.0%})" if total else ""
    return f"not finished: {done:,}{of_all} images; run the same command again to go on"


def _skipped(skipped: Any) -> int:
    """A number, or what names them as well; 0 for anything else."""
    if isinstance(skipped, dict):
        skipped = skipped.get("n", 0)
    if isinstance(skipped, list):
        return len(skipped)
    return skipped if isinstance(skipped, int) else 0


def _ranges(columns: list[Column]) -> Table:
    # Narrow, so that the longest name, unit and numbers fit in 80 columns.
    table = Table(box=box.SIMPLE, show_edge=False, padding=0)
    table.add_column("", overflow="fold")
    units = any(unit(column.name) for column in columns)
    if units:
        table.add_column("unit", overflow="fold")
    for name in ("images", "least", "median", "most"):
        table.add_column(name, justify="right")
    for column in columns:
        numbers = (f"{value:.4g}" for value in (column.low, column.median, column.high))
        name = plain_text(column.name)
        of_name = [name, unit(column.name)] if units else [name]
        table.add_row(*of_name, f"{column.count:,}", *numbers)
    return table


def verify(summary: Summary, progress: Progress) -> Iterator[str]:
    """Check every file against the manifest; yields one line for each that is damaged or missing.

    Checksums, readability, shapes, and that all pixels are finite. One shard is in memory at a
    time.
    """
    manifest, first = summary.manifest, None
    if not manifest["complete"]:
        yield f"{summary.folder} is {_state(summary)}"
    path = summary.folder / SOURCES
    if sources := manifest.get(SOURCES):
        try:
            if not is_shard_intact(summary.folder, {"file": SOURCES} | sources):
                yield (
                    f"{path} is missing or has another checksum than when it was written; {AGAIN}"
                )
        except (InputError, TypeError, KeyError) as error:
            yield str(error) if isinstance(error, InputError) else f"{path} is not in the manifest"
    for entry in manifest["shards"]:
        path = summary.folder / entry["file"]
        try:
            # Read first: damage inside explains more than another checksum.
            part = read_shard(path, entry["n"])
            first = first or shapes(part)
            if shapes(part) != first:
                yield f"{path} is not a shard of this data set"
            elif part[2]["label_names"] != manifest["label_names"]:
                yield f"{path} has other classes than the manifest"
            elif not is_shard_intact(summary.folder, entry):
                yield f"{path} has another checksum than when it was written; {AGAIN}"
        except InputError as error:
            yield str(error)
        progress(entry["n"])
