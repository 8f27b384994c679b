"""Images of several sizes become images of one, about their centres."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensphys.ground.errors import InputError
from simulate.importers.framing import (
    Looked,
    advise_patches,
    choose_size,
    find_patch,
    frame,
    frame_pairs,
    overlap,
)

SIDES = st.integers(1, 300)


def looked(*shapes, label=0):
    return [Looked(f"{i}.fits", shape, {label: 1}) for i, shape in enumerate(shapes)]


@given(SIDES, SIDES)
def test_the_centre_of_an_axis_stays_the_centre_to_half_a_pixel(n, size):
    shown, place = overlap(n, size)
    assert shown.stop - shown.start == place.stop - place.start == min(n, size)
    assert 0 <= shown.start <= shown.stop <= n
    assert 0 <= place.start <= place.stop <= size
    moved = (n - 1) / 2 - shown.start + place.start
    assert abs(moved - (size - 1) / 2) == 0.5 * ((n - size) % 2)


@given(st.dictionaries(st.tuples(SIDES, SIDES), st.integers(1, 5), min_size=1, max_size=6))
def test_the_size_that_is_chosen_has_whole_patches_and_is_no_larger_than_needed(shapes):
    size = choose_size(shapes)
    assert size % 8 == 0
    assert 8 <= size < max(max(shape) for shape in shapes) + 8


@pytest.mark.parametrize(
    ("sides", "chosen"),
    [
        ((61, 61), 64),
        ((61, 70), 64),
        ((64, 70), 64),
        ((32, 40), 32),
        (tuple(range(58, 71)), 64),
        ((*[50] * 20, 1000), 48),
        ((*[50] * 20, 3), 48),
    ],
)
def test_one_huge_or_tiny_image_does_not_decide(sides, chosen):
    shapes = [(n, n) for n in sides]
    assert choose_size({shape: shapes.count(shape) for shape in shapes}) == chosen


def test_images_of_one_square_size_stay_as_they_are():
    framing = frame(looked((61, 61), (61, 61)), None, ["a"])
    assert (framing.size, framing.padded, framing.remarks) == (61, False, ())


def test_what_becomes_of_how_many_images_is_said_in_one_line():
    framing = frame(looked((60, 80), (64, 64), (70, 70)), None, ["a"])
    assert framing.padded
    (line,) = framing.remarks
    assert "60 to 80 pixels on a side: 64 x 64 for all, 1 cropped, 1 cropped and padded, " in line
    (line, half) = frame(looked((61, 61)), 128, ["a"]).remarks
    assert (
        "all images have 61 x 61 pixels: 128 x 128 for all, 1 padded; --size 64 --out DIR would"
        in line
    )
    assert half.startswith("1 image is more than half padding")
    assert half.endswith("--out DIR")


def test_what_is_said_to_become_of_images_adds_up_to_their_number():
    shapes = [(50, 100), (60, 64), (64, 80), (64, 64), (70, 70), (5, 5)]
    line = frame(looked(*shapes), 64, ["a"]).remarks[0]
    assert line.endswith("2 cropped, 2 padded, 1 cropped and padded, 1 as they are")


def test_images_that_no_lens_can_be_fitted_to_are_counted():
    lines = frame(looked((11, 40), (5, 5), (12, 12), (64, 64)), 64, ["a"]).remarks
    assert sum("2 images are of fewer than 12 pixels on a side" in line for line in lines) == 1


def test_padding_that_tells_classes_apart_is_named():
    shapes = [(64, 64)] * 10
    both = [*looked(*shapes), *looked(*[(50, 50)] * 10, label=1)]
    words = frame(both, 64, ["lens", "other"]).remarks[-1]
    assert "100% of other and 0% of lens are padded" in words
    assert words.endswith("--size 48 --out DIR pads none")
    assert frame(both, 48, ["lens", "other"]).remarks == ()
    alike = [*looked(*shapes, (50, 50)), *looked(*shapes, (50, 50), label=1)]
    assert len(frame(alike, 64, ["lens", "other"]).remarks) == 1


def test_pairs_are_cropped_and_never_padded():
    pairs = looked((48, 48), (60, 60))
    assert frame_pairs(pairs, None, 3).size == 48
    with pytest.raises(InputError, match="pairs are not padded; --size 48 serves all images"):
        frame_pairs(pairs, 54, 3)
    with pytest.raises(InputError, match=r"cannot be divided by 3, .* give --size 24"):
        frame_pairs(pairs, 40, 3)


@given(st.integers(1, 400), st.integers(2, 20))
def test_the_size_that_is_advised_for_pairs_crops_them_to_whole_patches(least, factor):
    size = least // factor * factor
    advice = advise_patches(size, "data/mine", factor)
    assert advice is None or "pads" not in advice
    for side in re.findall(r"--size (\d+) --out data/mine-", advice or ""):
        framing = frame_pairs(looked((size, size)), int(side), factor)
        assert framing.size < size
        assert find_patch(framing.size) is not None


@pytest.mark.parametrize(("size", "factor", "advised"), [(134, 2, "128"), (129, 3, "120")])
def test_pairs_are_not_told_to_be_padded(size, factor, advised):
    assert re.findall(r"--size (\d+)", advise_patches(size, "data/mine", factor)) == [advised]


@given(st.integers(1, 400))
def test_patches_fill_the_size_that_is_advised(size):
    width = find_patch(size)
    assert width is None or size % width == 0
    advice = advise_patches(size, "data/mine")
    assert (advice is None) == (width is not None or size < 8)
    if advice is not None:
        sizes = np.array(
            [int(word) for word in advice.replace("--size", "#").split() if word.isdigit()]
        )
        assert (sizes[-2:] % 8 == 0).all()
