"""The form of the images that a network was trained on."""

from pathlib import Path

import torch

from learn import load_model


def test_size_scale_and_unit_are_those_of_the_images_that_the_network_sees(
    superresolver: Path,
) -> None:
    model = load_model(superresolver)
    assert (model.size, model.pixel_scale, model.unit) == (32, 0.202, "2 e-/s")
    assert model.label_names == ["no_sub", "cdm", "axion"]
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_network_knows_its_pixels_and_what_they_hold(
    classifier: Path, superresolver: Path
) -> None:
    plain, fine = load_model(classifier), load_model(superresolver)
    assert (plain.factor, fine.factor) == (1, 2)
    assert not plain.surface_brightness
    assert not fine.surface_brightness
    plain.data.attrs["unit"] = "MJy/sr"
    fine.task.gain.fill_(1.0)
    assert plain.surface_brightness
    assert fine.surface_brightness
    largest = torch.full((1, 64, 64), plain.largest)
    largest[0, 5, 7] = 0.0
    assert plain(largest).isfinite().all()
    assert plain.largest >= 1e12 * plain.task.stretch.softening.item()
