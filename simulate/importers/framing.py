"""One size for images of several: how each is cropped or padded about its centre."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lensphys.ground.errors import InputError
from simulate.dataset.padding import LEAST
from simulate.importers.errors import escape

Shape = tuple[int, int]
#: Pixels on a side of the patches that encoders cut images into by default, and of those that
#: others may have.
PATCH = 8
_PATCHES = range(4, 17)
#: Images of a class, and the difference of the fractions that are padded, from which padding tells
#: classes apart.
_FEW, _APART = 10, 0.25


@dataclasses.dataclass(frozen=True)
class Looked:
    """Images of one file, or of several like it.

    Attributes:
        name: of the file.
        shape: (ny, nx).
        labels: number of images of each class.
    """

    name: str
    shape: Shape
    labels: Mapping[int, int]


@dataclasses.dataclass(frozen=True)
class Framing:
    """The size that images are brought to.

    Attributes:
        size: pixels on a side.
        shape: (ny, nx) of all images; None where they differ.
        padded: some images are smaller, and padded.
        remarks: lines on what is done.
        shapes: (ny, nx) that images have, where some are padded.
    """

    size: int
    shape: Shape | None
    padded: bool = False
    remarks: tuple[str, ...] = ()
    shapes: frozenset[Shape] = frozenset()


def overlap(n: int, size: int) -> tuple[slice, slice]:
    """Overlap of an axis of ``n`` pixels with a frame of ``size`` about the same centre.

    Centres are half a pixel apart if one number is even and the other odd; the axis then begins
    with the earlier pixel.

    Returns:
        The pixels that are shown, and their places in the frame.
    """
    shown = min(n, size)
    first, place = (n - shown) // 2, (size - shown) // 2
    return slice(first, first + shown), slice(place, place + shown)


def choose_size(shapes: Mapping[Shape, int], step: int = PATCH) -> int:
    """The multiple of ``step`` at which the least of images is cropped or padded.

    The frame has an overlap with each image; the mean of this, over what both cover together, is
    the greatest.

    Args:
        shapes: number of images of each (ny, nx).
        step: pixels.
    """
    ny, nx = np.array(list(shapes)).T
    count = np.array(list(shapes.values()))
    largest = max(int(ny.max()), int(nx.max()))
    sizes = np.arange(step, largest + step, step)
    shared = [np.minimum(ny, size) * np.minimum(nx, size) for size in sizes]
    scores = [
        (count * both / (ny * nx + size**2 - both)).sum()
        for size, both in zip(sizes.tolist(), shared, strict=True)
    ]
    return int(sizes[np.argmax(scores)])


def frame(looked: Sequence[Looked], size: int | None, names: Sequence[str]) -> Framing:
    """The framing of images, cropped or padded to one size.

    Args:
        looked: the images.
        size: that is wanted; None: the best one, or that of the images where it is one.
        names: of the classes.
    """
    shapes: Counter[Shape] = Counter()
    for item in looked:
        shapes[item.shape] += sum(item.labels.values())
    shape = next(iter(shapes)) if len(shapes) == 1 else None
    if size is None and shape is not None and shape[0] == shape[1]:
        return Framing(shape[0], shape)
    best = choose_size(shapes)
    side = size or best
    padded = {s: count for s, count in shapes.items() if min(s) < side}
    if size is not None and not padded:
        return Framing(side, shape)
    lines = [_describe(shapes, side, best, chosen=size is None)]
    half = sum(n for s, n in padded.items() if 2 * math.prod(min(m, side) for m in s) < side**2)
    if half:
        lines.append(
            f"{_images(half)} more than half padding; leave out the small ones or give a smaller "
            "--size, either with --out DIR"
        )
    few = sum(n for s, n in padded.items() if min(*s, side) < LEAST)
    if few:
        lines.append(
            f"{_images(few)} of fewer than {LEAST} pixels on a side, which constrain no lens: lens "
            "fits take their padding for data"
        )
    least = min(min(s) for s in shapes) // PATCH * PATCH
    if words := _compare_classes(looked, side, names):
        lines.append(f"{words}; --size {least} --out DIR pads none" if least else words)
    return Framing(side, shape, bool(padded), tuple(lines), frozenset(shapes))


def _describe(shapes: Mapping[Shape, int], side: int, best: int, *, chosen: bool) -> str:
    """The line on a size: what becomes of how many images."""
    counts = dict.fromkeys(("cropped", "padded", "cropped and padded", "as they are"), 0)
    for shape, n in shapes.items():
        done = {"cropped": max(shape) > side, "padded": min(shape) < side}
        counts[" and ".join(word for word in done if done[word]) or "as they are"] += n
    sides = [n for shape in shapes for n in shape]
    if len(shapes) == 1:
        (only,) = shapes
        words = f"all images have {by(only)} pixels"
    else:
        words = f"the images have {min(sides)} to {max(sides)} pixels on a side"
    parts = [f"{n} {what}" for what, n in counts.items() if n]
    line = f"{words}: {by((side, side))} for all, {', '.join(parts)}"
    if chosen:
        return f"{line}; --size N --out DIR makes another"
    if all(min(shape) < side for shape in shapes) and best < side:
        return f"{line}; --size {best} --out DIR would pad and crop least"
    return line


def _compare_classes(looked: Sequence[Looked], side: int, names: Sequence[str]) -> str:
    """Words on classes that padding tells apart; empty where it does not."""
    total: Counter[int] = Counter()
    padded: Counter[int] = Counter()
    for item in looked:
        total.update(item.labels)
        if min(item.shape) < side:
            padded.update(item.labels)
    share = {label: padded[label] / n for label, n in total.items() if n >= _FEW}
    if len(share) < 2:
        return ""
    low, high = min(share, key=share.__getitem__), max(share, key=share.__getitem__)
    if share[high] - share[low] < _APART:
        return ""
    return (
        f"padding tells classes apart: {share[high]:.0%} of {escape(names[high])} and "
        f"{share[low]:.0%} of {escape(names[low])} are padded, which a network can learn"
    )


def frame_pairs(looked: Sequence[Looked], size: int | None, factor: int) -> Framing:
    """The framing of images that come at two resolutions: they are cropped, and never padded.

    Args:
        looked: the images of high resolution.
        size: that is wanted; None: the largest that serves all.
        factor: pixels of the high resolution to one of the low, along a side.

    Raises:
        InputError: for a size that is too large for an image, or that the factor does not divide.
    """
    shapes = {item.shape: item.name for item in looked}
    least = min(min(shape) for shape in shapes)
    shape = next(iter(shapes)) if len(shapes) == 1 else None
    best = find_size_of_pairs(least, factor)
    if size is None and (shape is None or shape[0] != shape[1]):
        line = f"the images differ in size or are not square: cropped to {by((best, best))} pixels"
        return Framing(best, shape, False, (line,))
    side = size or least
    for each, name in shapes.items():
        if min(each) < side:
            raise InputError(
                f"--size {size}: {escape(name)} has {by(each)} pixels, and pairs are not padded; "
                f"--size {best} serves all images"
            )
    if side % factor:
        raise InputError(
            f"images of {side} pixels cannot be divided by {factor}, the ratio of the two "
            f"resolutions; give --size {find_size_of_pairs(side, factor)}"
        )
    return Framing(side, shape)


def find_size_of_pairs(most: int, factor: int) -> int:
    """The largest size up to this one that the patches of encoders fill, or else the factor.

    Args:
        most: pixels on a side, at high resolution.
        factor: pixels of the high resolution to one of the low, along a side.
    """
    for step in (math.lcm(PATCH, factor), factor):
        if size := most // step * step:
            return size
    return most


def advise_patches(size: int, out: Path, factor: int | None = None) -> str | None:
    """A remark where no patches of a usual width fill images of this size.

    Args:
        size: pixels on a side.
        out: folder of the data set, which one of another size cannot be written to.
        factor: between the two resolutions of pairs, which are cropped alone; None for others.
    """
    if size < PATCH or find_patch(size):
        return None
    why = (
        f"no patches of {_PATCHES[0]} to {_PATCHES[-1]} pixels fill images of {by((size, size))}, "
        "and encoders cut images into patches"
    )
    least = find_size_of_pairs(size, factor) if factor else size // PATCH * PATCH
    pad, crop = (f"--size {n} --out {shlex.quote(f'{out}-{n}')}" for n in (least + PATCH, least))
    if not factor:
        return f"{why}; the same command with {pad} pads them, with {crop} it crops them"
    return f"{why}; the same command with {crop} crops them" if find_patch(least) else why


def find_patch(size: int) -> int | None:
    """The width of patches that fill images of this size, as near as possible to the default."""
    fitting = [width for width in _PATCHES if size % width == 0]
    # Of two, the wider one: fewer patches take less time.
    return min(fitting, key=lambda width: (abs(width - PATCH), -width), default=None)


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def by(shape: Shape) -> str:
    """A shape in words."""
    return f"{shape[0]} x {shape[1]}"
