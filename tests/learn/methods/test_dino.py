"""DINO."""

from typing import Any

import pytest
import torch

from tests.learn.methods.conftest import images


def test_dinos_windows_keep_scale_and_place(build: Any) -> None:
    # Patches outside a window are dropped; those inside keep their positions.
    module = build("dino", "params.local_views=1")
    seen = []
    module.encoder.vit.blocks.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    image = images(6)
    module.local_outputs((image,))
    (window,) = seen
    tokens = module.encoder.vit._pos_embed(module.encoder.vit.patch_embed(image))
    assert window.shape[1] == 4, "half of the side of 4 x 4 patches"
    for i in range(6):
        distance = torch.cdist(window[i], tokens[i])
        places = distance.argmin(1)
        torch.testing.assert_close(window[i], tokens[i][places])
        rows, columns = places // 4, places % 4
        assert rows.max() - rows.min() == columns.max() - columns.min() == 1


def test_dinos_teacher_sharpens_as_scheduled(build: Any) -> None:
    module = build("dino")
    assert module.temperature() == pytest.approx(0.04)
    later = build("dino", "params.temperature_warmup=0")
    assert later.temperature() == pytest.approx(0.07)
