"""Pictures of fits."""

import numpy as np
import pytest
import torch

from lensphys import fit
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import KIND, draw, image_of

DARK = ["image", "model", "residual / sigma", "source"]
BRIGHT = [*DARK[:2], "image less lens light", "lensed source", *DARK[2:]]


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


@pytest.mark.parametrize(("lens_light", "expected"), [(False, DARK), (True, BRIGHT)])
def test_a_fit_is_drawn(lens_light, expected):
    scene = LensScene(lens_light=lens_light)
    truth = draw(2, seed=4, scene=scene)
    images = image_of(truth, scene=scene)
    sigma = torch.full_like(images, 0.05)
    sigma[1, :3] = torch.inf
    result = fit(images, sigma, **KIND, lens_light=lens_light, start=truth, max_steps=1)
    for draws in (result.plot, result.to_lenstronomy):
        with pytest.raises(ValueError, match="index must be a whole number from 0 to 1, got 2"):
            draws(2)
    figure = result.plot(1)
    assert titles(figure) == expected
    panels = {ax.get_title(): ax for ax in figure.axes}
    image = panels["image"].images[0].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(image))[:3].all()
    np.testing.assert_allclose(image[3:], images[1, 3:])
    np.testing.assert_allclose(panels["model"].images[0].get_array(), result.model[1])
    # An SIE has one critical curve, and its caustic lies in the source plane.
    (curve,) = panels["image"].lines
    radius = np.hypot(*(np.asarray(v) for v in curve.get_data())).mean()
    assert radius == pytest.approx(float(truth["theta_E"][1]), rel=0.15)
    assert len(panels["source"].lines) == 1
    if lens_light:
        lensed = panels["lensed source"].images[0].get_array()
        np.testing.assert_allclose(lensed, result.parts()["source"][1])
    figure.canvas.draw()
