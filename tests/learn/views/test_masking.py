"""Block masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learn.views.masking import jepa_masks, random_blocks

PAPER = {
    "targets": 4,
    "target_scale": (0.15, 0.2),
    "target_aspect": (0.75, 1.5),
    "context_scale": (0.85, 1.0),
}


@pytest.mark.parametrize("grid", [4, 8, 16])
def test_every_patch_can_be_target_and_context(grid: int) -> None:
    as_target, as_context = torch.zeros(grid**2), torch.zeros(grid**2)
    for _ in range(10):
        context, targets = jepa_masks(128, grid, **PAPER)
        as_context += torch.bincount(context.flatten(), minlength=grid**2)
        for target in targets:
            as_target += torch.bincount(target.flatten(), minlength=grid**2)
    assert as_target.min() > 0
    assert as_context.min() > 0


@pytest.mark.parametrize("grid", [8, 16])
def test_the_context_shows_nothing_of_the_targets(grid: int) -> None:
    context, targets = jepa_masks(64, grid, **PAPER)
    for i in range(64):
        hidden = torch.cat([target[i] for target in targets])
        assert not torch.isin(context[i], hidden).any()


@given(grid=st.integers(1, 12), targets=st.integers(1, 6), scale=st.floats(0.05, 1.0))
@settings(max_examples=50, deadline=None)
def test_masks_stack_and_always_leave_something_to_see(
    grid: int, targets: int, scale: float
) -> None:
    context, blocks = jepa_masks(
        5,
        grid,
        targets=targets,
        target_scale=(scale, scale),
        target_aspect=(0.5, 2.0),
        context_scale=(0.5, 1.0),
    )
    assert context.shape[1] >= 1
    assert len(blocks) == targets
    for indices in (context, *blocks):
        assert indices.shape[0] == 5
        assert 0 <= indices.min() <= indices.max() < grid**2
        assert (indices.diff(dim=1) > 0).all(), "sorted and without repetition"


def test_blocks_are_rectangles_of_one_size() -> None:
    blocks = random_blocks(50, 8, (0.2, 0.3), (0.75, 1.5)).view(50, 8, 8)
    heights, widths = blocks.any(2).sum(1), blocks.any(1).sum(1)
    assert len(heights.unique()) == len(widths.unique()) == 1
    assert (blocks.sum((1, 2)) == heights * widths).all()


def test_target_blocks_lie_where_the_light_is() -> None:
    light = torch.zeros(300, 8, 8)
    light[:, 5:, :3] = 1.0
    blocks = random_blocks(300, 8, (0.1, 0.1), (1.0, 1.0), light).view(300, 8, 8)
    held = (blocks * light).sum((1, 2)) / blocks.sum((1, 2))
    assert held.min() > 0
    assert held.mean() > 0.5
    anywhere = random_blocks(300, 8, (0.1, 0.1), (1.0, 1.0), torch.zeros(300, 8, 8))
    assert anywhere.view(300, 64).any(0).all(), "in the dark all places are alike"
