"""A fine-tuned network as a module."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from learn import load_encoder, load_model


def test_a_network_needs_neither_its_data_nor_its_place(
    classifier: Path, tmp_path: Path, model2: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(classifier, moved)
    config = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(config.replace(str(model2), "nowhere"))
    images = torch.rand(2, 64, 64, requires_grad=True)
    predictions = load_model(moved)(images)
    np.testing.assert_array_equal(
        predictions.detach(), load_model(str(classifier))(images.detach()[:, None])
    )
    (gradient,) = torch.autograd.grad(predictions[:, 0].sum(), images)
    assert gradient.abs().sum() > 0


def test_an_image_alone_and_a_stack_are_taken_too(classifier: Path, superresolver: Path) -> None:
    images = torch.rand(2, 64, 64)
    for model in (load_model(classifier), load_model(superresolver)):
        flux = images[:, : model.size, : model.size]
        both = model(flux)
        torch.testing.assert_close(model(flux[1]), both[1:], rtol=1e-4, atol=1e-6)
        assert torch.equal(model(flux.numpy()), both)


def test_padding_of_another_number_of_images_is_refused(
    classifier: Path, encoder_run: Path
) -> None:
    images, padding = np.zeros((2, 64, 64), np.float32), np.zeros((3, 4), np.int64)
    with pytest.raises(ValueError, match=r"padding must have the shape \(2, 4\)"):
        load_model(classifier).prepare(images, padding=padding)
    with pytest.raises(ValueError, match=r"padding must have the shape \(2, 4\)"):
        load_encoder(encoder_run).features(images, padding=padding)
