"""Lens fits of a batch in their one form."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.store import StoredMaps


@pytest.fixture
def fits(random_fits: Any) -> LensFits:
    """Nine fits with all that there can be of them."""
    found = random_fits(9, compared=True)
    return dataclasses.replace(
        found,
        channels=torch.rand(9, len(CHANNELS), 8, 8),
        statistics=torch.rand(9, 48),
        draws=torch.rand(9, 3, 8, 8),
        moments=torch.rand(9, 3, 5),
        detail=torch.rand(9, 1, 16, 16),
    )


def assert_equal(one: LensFits, other: LensFits) -> None:
    for field in dataclasses.fields(LensFits):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name


def test_rows_are_taken_of_everything(fits: LensFits) -> None:
    rows = torch.tensor([7, 0, 3, 3])
    some = fits.rows(rows)
    assert len(some) == 4
    assert some.names == fits.names
    for field in dataclasses.fields(LensFits):
        if field.name != "names":
            taken, whole = getattr(some, field.name), getattr(fits, field.name)
            assert torch.equal(taken, whole[rows]), field.name
    assert_equal(fits.rows(slice(2, 4)), fits.rows(torch.tensor([2, 3])))
    assert_equal(fits.rows(slice(None)), fits)


def test_parts_are_joined_to_the_whole(fits: LensFits) -> None:
    parts = [fits.rows(slice(start, start + 4)) for start in (0, 4, 8)]
    assert [len(part) for part in parts] == [4, 4, 1]
    assert_equal(LensFits.join(parts), fits)
    bare = [dataclasses.replace(part, channels=None, detail=None) for part in parts]
    assert LensFits.join(bare).channels is None


def test_rows_are_replaced_and_the_others_left(fits: LensFits, random_fits: Any) -> None:
    before = fits.map(torch.clone)
    other = fits.map(lambda values: values.flip(0)).rows(slice(0, 2))
    rows = torch.tensor([5, 1])
    fits.replace_rows(rows, other)
    assert_equal(fits.rows(rows), other)
    kept = torch.tensor([0, 2, 3, 4, 6, 7, 8])
    assert_equal(fits.rows(kept), before.rows(kept))


def test_a_change_is_of_every_tensor_and_nothing_else(fits: LensFits) -> None:
    turned = fits.map(lambda values: values.flip(0))
    assert_equal(turned, fits.rows(torch.arange(8, -1, -1)))
    moved = fits.to("meta", non_blocking=True)
    assert {
        getattr(moved, field.name).device.type
        for field in dataclasses.fields(moved)
        if field.name != "names"
    } == {"meta"}
    assert fits.values.device.type == "cpu", "the fits themselves stay where they are"


@pytest.mark.parametrize("name", ["channels", "draws"])
def test_maps_in_files_are_read_for_the_wanted_rows_alone(fits: LensFits, name: str) -> None:
    held = np.random.default_rng(0).random((9, 4, 8, 8)).astype(np.float16)
    stored = StoredMaps([held], np.zeros(9, np.int64), np.arange(9))
    fits = dataclasses.replace(fits, **{name: stored})
    assert getattr(fits.map(torch.clone), name) is stored, "no change touches the files"
    rows = torch.tensor([8, 2])
    assert torch.equal(getattr(fits.rows(rows), name), torch.from_numpy(held).float()[rows])


def test_without_maps_the_numbers_stay(fits: LensFits) -> None:
    bare = fits.without_channels()
    assert bare.channels is bare.draws is bare.moments is None
    assert bare.statistics is fits.statistics
    assert bare.values is fits.values


def test_parameters_and_errors_go_by_name(random_fits: Any) -> None:
    fits = random_fits(3, lens_light=True)
    assert tuple(fits.params) == tuple(fits.errors) == fits.names
    assert fits.names[: len(NAMES)] == NAMES
    place = fits.names.index("gamma1")
    assert torch.equal(fits.params["gamma1"], fits.values[:, place])
    torch.testing.assert_close(fits.errors["gamma1"] ** 2, fits.covariance[:, place, place])
    assert fits.scene.names == fits.names


def test_the_error_of_the_radius_grows_with_what_a_fit_leaves(random_fits: Any) -> None:
    fits = random_fits(5)
    place = fits.names.index("theta_E")
    fits.values[:, place] = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0])
    fits.covariance[:, place, place] = torch.tensor([0.01, 0.01, 0.01, 0.01, torch.inf])
    fits.chi2_dof = torch.tensor([0.5, 1.0, 9.0, 1.0, 1.0])
    found = fits.radius_error.tolist()
    assert found[:3] == pytest.approx([0.1, 0.05, 0.3])
    assert found[3:] == [float("inf"), float("inf")]


def test_a_fit_with_a_value_that_is_not_finite_has_not_converged() -> None:
    values, covariance = np.ones((3, len(NAMES))), np.tile(np.eye(len(NAMES)), (3, 1, 1))
    values[0, 2] = np.nan
    arrays = {"params": values, "covariance": covariance}
    arrays |= {"chi2_dof": np.array([1.0, np.nan, 1.0]), "converged": np.ones(3, bool)}
    arrays["statistics"] = np.ones((3, 48))
    fits = LensFits.of_arrays(NAMES, arrays)
    assert fits.converged.tolist() == [False, False, True]
    assert fits.values.isfinite().all()
    assert fits.chi2_dof.tolist() == [float("inf"), float("inf"), 1.0]
