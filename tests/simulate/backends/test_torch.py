"""The fast backend: its PSF is that of the instrument, and its precision the one asked for."""

import dataclasses

import numpy as np
import pytest
import torch

from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.instruments import instrument
from simulate.presets import make_prior

#: Atmospheric seeing.
MOFFAT = dataclasses.replace(instrument("euclid_vis_published"), psf_fwhm=0.4, psf_beta=3.0)


def test_a_moffat_camera_is_rendered_with_its_moffat(configure):
    config = configure(2)
    scene = make_prior(config).draw(0, 3)
    ours = TorchRenderer(MOFFAT, dtype=torch.float64).render(scene)
    gaussian = dataclasses.replace(MOFFAT, psf_beta=None)
    other = TorchRenderer(gaussian, dtype=torch.float64).render(scene)
    assert np.abs(ours - other).max() > 0.05 * ours.max()
    theirs = LenstronomyRenderer(MOFFAT, config.planes()).render(scene)
    assert np.abs(ours - theirs).max() < 1e-8 * theirs.max()


def test_a_bare_moffat_camera_is_the_same_in_both_backends(configure):
    """Without a photometric band lenstronomy's image is made in another way."""
    config = configure(1)
    camera = dataclasses.replace(instrument(config.instrument), psf_fwhm=0.2, psf_beta=2.5)
    scene = make_prior(config).draw(0, 1)
    ours = TorchRenderer(camera, dtype=torch.float64).render(scene)
    theirs = LenstronomyRenderer(camera, config.planes()).render(scene)
    assert np.abs(ours - theirs).max() < 1e-8 * theirs.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_have_the_precision_asked_for(configure, dtype):
    config = configure(2)
    renderer = TorchRenderer(instrument(config.instrument), dtype=dtype)
    image = renderer.render(make_prior(config).draw(0, 2))
    assert image.dtype == torch.empty(0, dtype=dtype).numpy().dtype
