"""Channels of lens fits, and coarser pixels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learn.lens_fits.channels import CHANNELS, STACK, Layout, bin_stack, high_pass, stack_channels
from learn.views.symmetries import turn_channels
from simulate.augment.transforms import turn_images


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 4), min_size=1, max_size=5))
def test_split_and_join_undo_each_other(parts: dict[str, int]) -> None:
    layout = Layout(**parts)
    stack = torch.arange(2.0 * len(layout) * 9).view(2, len(layout), 3, 3)
    split = layout.split(stack)
    assert {name: maps.shape[1] for name, maps in split.items()} == parts
    assert torch.equal(layout.join(dict(reversed(split.items()))), stack), "in any order"
    joined = layout.join(split)
    for name, maps in layout.split(joined).items():
        assert torch.equal(maps, split[name])
        assert torch.equal(stack[:, layout[name]], maps)


def test_names_stand_for_consecutive_places() -> None:
    layout = Layout(flux=1, response=2, sigma=1)
    assert len(layout) == 4
    found = [layout[name] for name in ("flux", "response", "sigma")]
    assert found == [slice(0, 1), slice(1, 3), slice(3, 4)]
    with pytest.raises(KeyError):
        layout["noise"]


def test_the_channels_of_a_stack_follow_the_flux() -> None:
    flux, channels = torch.rand(2, 1, 5, 5), torch.rand(2, len(CHANNELS), 5, 5)
    stack = stack_channels(flux, channels)
    assert torch.equal(stack[:, STACK["flux"]], flux)
    for name, maps in CHANNELS.split(channels).items():
        assert torch.equal(stack[:, STACK[name]], maps)
    assert stack_channels(flux, None) is flux


def test_a_high_pass_takes_the_local_mean_off() -> None:
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    slope = (3 * x + 2 * y)[None]
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(high_pass(slope)[inside], torch.zeros(1, 16, 16), atol=1e-4, rtol=0)
    point = torch.zeros(1, 20, 20)
    point[0, 10, 10] = 25.0
    assert high_pass(point)[0, 10, 10] == 24.0
    assert high_pass(point)[0, 10, 12] == -1.0


def some_channels(count: int, size: int) -> torch.Tensor:
    """Channels (B, C, H, W) like those of a lens fit, with another noise in each pixel."""
    channels = torch.randn(count, len(CHANNELS), size, size)
    channels[:, CHANNELS["sigma"]] = 0.5 + torch.rand(count, 1, size, size)
    return channels


def test_channels_of_coarse_pixels_follow_from_their_meaning() -> None:
    image, channels = torch.rand(2, 1, 12, 12), some_channels(2, 12)
    coarse = bin_stack(stack_channels(image, channels), 3)
    assert coarse.shape == (2, len(STACK), 4, 4)
    i, j, block = 1, 2, (..., slice(3, 6), slice(6, 9))
    fine = CHANNELS.split(channels[block])
    found = {name: maps[..., i, j] for name, maps in STACK.split(coarse).items()}
    noise = fine["sigma"].square().sum((2, 3)).sqrt()
    torch.testing.assert_close(found["flux"], image[block].sum((2, 3)))
    for name in ("residual", "response"):
        in_flux = (fine[name] * fine["sigma"]).sum((2, 3))
        torch.testing.assert_close(found[name], in_flux / noise)
    for name in ("source_plane", "snr", "log_error"):
        torch.testing.assert_close(found[name], fine[name].mean((2, 3)))
    torch.testing.assert_close(found["sigma"], noise)


def test_noise_stays_noise_of_unit_variance() -> None:
    channels = some_channels(50, 64)
    residual = bin_stack(stack_channels(torch.zeros(50, 1, 64, 64), channels), 2)[:, 1]
    assert residual.std() == pytest.approx(1.0, abs=0.01)


def test_flux_is_kept_without_channels_too() -> None:
    image = torch.rand(3, 1, 10, 10, dtype=torch.float64)
    torch.testing.assert_close(bin_stack(image, 5).sum((2, 3)), image.sum((2, 3)))
    assert bin_stack(image, 1) is image


def test_images_are_turned_before_they_are_binned_or_after() -> None:
    image, channels, symmetry = torch.rand(8, 1, 12, 12), some_channels(8, 12), torch.arange(8)
    before = bin_stack(
        stack_channels(turn_images(image, symmetry), turn_channels(channels, symmetry)), 2
    )
    coarse = bin_stack(stack_channels(image, channels), 2)
    after = [turn_images(coarse[:, :1], symmetry), turn_channels(coarse[:, 1:], symmetry)]
    torch.testing.assert_close(before, torch.cat(after, 1))


def test_pixels_that_make_no_whole_one_are_left_out() -> None:
    image = torch.rand(1, 1, 13, 13)
    torch.testing.assert_close(bin_stack(image, 2), bin_stack(image[..., :12, :12], 2))
