"""Figure of super-resolved images."""

import numpy as np
from PIL import Image

from learn.reporting.figures.superres import draw_triptychs


def test_a_row_is_drawn_for_each_image_up_to_three(tmp_path):
    rng = np.random.default_rng(0)
    attrs, metrics = {"pixel_scale": 0.1, "unit": "e-"}, {"psnr": 30.0, "bicubic_psnr": 29.0}
    heights = []
    for count in (1, 3, 5):
        low, high = (rng.random((count, 1, n, n), np.float32) for n in (8, 16))
        path = tmp_path / f"{count}.png"
        draw_triptychs(path, low, high, high, high, attrs, metrics)
        heights.append(Image.open(path).height)
    assert heights[0] < heights[1] == heights[2]
