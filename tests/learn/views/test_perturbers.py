"""Unknown masses in views of images."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from learn.lens_fits.draws import Draws
from learn.views.perturbers import mix_perturbers

SETTINGS: dict[str, Any] = {"snr": (5.0, 200.0), "absent": 0.25}
GROUPS = 6


def masses(count: int, most: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Masses of groups and their places in pixels, (B, K, M) each."""
    generator = torch.Generator().manual_seed(seed)
    mass, x, y = torch.rand(3, count, GROUPS, most, generator=generator).unbind()
    return 0.1 + 3 * mass, 30 * (x - 0.5), 30 * (y - 0.5)


def draws_of(count: int, most: int = 8) -> Draws:
    """Draws whose changes are unit maps, each of one pixel: a mixture shows what it is made of."""
    mass, x, y = masses(count, most)
    terms = (mass, mass**2, mass * x, mass * y, mass * (x**2 + y**2))
    change = torch.eye(GROUPS * 3)[: GROUPS * 3 : 3].view(GROUPS, 3, GROUPS)
    return Draws(change.expand(count, -1, -1, -1), torch.stack([t.sum(2) for t in terms], 2))


def weights(change: Tensor) -> Tensor:
    """Share of each group (B, K) in changes of :func:`draws_of`."""
    parts = change.flatten(1)[:, ::3]
    return parts / parts.sum(1, keepdim=True)


def test_the_change_has_the_snr_that_is_stated() -> None:
    group = mix_perturbers(draws_of(800), **SETTINGS)
    assert group.change.shape == (800, 1, 3, GROUPS)
    measured = group.change.flatten(1).norm(dim=1)
    torch.testing.assert_close(torch.log1p(measured), group.described[:, 0])
    signal = measured[group.present > 0]
    assert 5.0 * 0.999 <= signal.min() < 6.0
    assert 150.0 < signal.max() <= 200.0 * 1.001
    # Uniform in the logarithm.
    assert signal.log().mean().item() == pytest.approx(math.log(math.sqrt(1000.0)), abs=0.15)


def test_the_stated_fraction_of_images_is_left_alone() -> None:
    group = mix_perturbers(draws_of(2000), **SETTINGS)
    assert group.present.mean().item() == pytest.approx(0.75, abs=0.04)
    assert (group.change[group.present == 0] == 0).all()
    assert (group.described[group.present == 0, 0] == 0).all()
    assert mix_perturbers(draws_of(50), snr=(5.0, 9.0), absent=0.0).present.all()


def test_masses_are_those_of_one_group_or_of_two() -> None:
    group = mix_perturbers(draws_of(2000), snr=(5.0, 9.0), absent=0.0)
    share = weights(group.change[:, 0])
    number = (share > 1e-6).sum(1)
    assert set(number.tolist()) == {1, 2}
    # Of two that are drawn alike, one in six times.
    two = (number == 2).float().mean().item()
    assert two == pytest.approx(0.5 * (1 - 1 / GROUPS), abs=0.04)
    often = (share > 1e-6).float().mean(0)
    torch.testing.assert_close(often, often.mean().expand(GROUPS), rtol=0.15, atol=0)


def test_what_is_described_is_that_of_the_masses_themselves() -> None:
    count = 300
    group = mix_perturbers(draws_of(count), snr=(5.0, 9.0), absent=0.0)
    mass, x, y = masses(count)
    # Of every group, so much; all masses of an image beside each other.
    mixed = (weights(group.change[:, 0])[..., None] * mass).flatten(1)
    x, y, share = x.flatten(1), y.flatten(1), mixed / mixed.sum(1, keepdim=True)
    number = mixed.sum(1).square() / mixed.square().sum(1)
    torch.testing.assert_close(group.described[:, 1], number.log(), rtol=1e-4, atol=1e-4)
    off = [v - (share * v).sum(1, keepdim=True) for v in (x, y)]
    size = (share * (off[0] ** 2 + off[1] ** 2)).sum(1).sqrt()
    torch.testing.assert_close(group.described[:, 2], (size + 0.5).log(), rtol=1e-3, atol=1e-3)


def test_one_mass_counts_as_one_and_has_no_size() -> None:
    group = mix_perturbers(draws_of(400, most=1), snr=(5.0, 9.0), absent=0.0)
    single = (weights(group.change[:, 0]) > 1e-6).sum(1) == 1
    number, size = group.described[:, 1], group.described[:, 2].exp() - 0.5
    assert number[single].abs().max() < 1e-5
    assert size[single].max() < 0.05
    assert number[~single].max() > 0.5
    assert number[~single].max() <= math.log(2) + 1e-5
    assert size[~single].median() > 3


def test_where_nothing_is_left_of_a_change_there_are_no_masses() -> None:
    found = draws_of(20)
    found = Draws(torch.zeros_like(found.change), torch.zeros_like(found.moments))
    group = mix_perturbers(found, **SETTINGS)
    assert not group.present.any()
    assert not group.change.any()
    assert group.described.isfinite().all()


def test_two_groups_that_undo_each_other_are_scaled_to_the_snr() -> None:
    """Their masses, of which little is seen, are many for it; all numbers stay finite."""
    found = draws_of(400)
    sign = torch.tensor([1.0, -1.0] * (GROUPS // 2))[:, None, None]
    found = dataclasses.replace(found, change=found.change[:, :1] * sign)
    group = mix_perturbers(found, snr=(5.0, 9.0), absent=0.0)
    measured = group.change.flatten(1).norm(dim=1)
    torch.testing.assert_close(torch.log1p(measured), group.described[:, 0])
    assert group.described.isfinite().all()


def test_draws_in_half_precision_serve_as_they_are_stored() -> None:
    found = draws_of(50)
    half = dataclasses.replace(found, change=found.change.half())
    torch.manual_seed(3)
    first = mix_perturbers(found, **SETTINGS)
    torch.manual_seed(3)
    again = mix_perturbers(half, **SETTINGS)
    assert again.change.dtype == torch.float32
    assert torch.equal(first.change, again.change)


def test_the_seed_decides() -> None:
    torch.manual_seed(3)
    first = mix_perturbers(draws_of(50), **SETTINGS)
    torch.manual_seed(3)
    again = mix_perturbers(draws_of(50), **SETTINGS)
    assert torch.equal(first.change, again.change)
    assert torch.equal(first.described, again.described)
    other = mix_perturbers(draws_of(50), **SETTINGS)
    assert not torch.equal(other.change, first.change)
