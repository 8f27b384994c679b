"""Against its twin an image shows its substructure, and noise."""

import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate.dataset.twins import twin_residuals
from simulate.run import simulate
from simulate.shards import read
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES
from tests.simulate.light.scene_images import with_galaxies


def test_perturbation_snr_is_what_the_twin_says(physical_data):
    """Chi-squared of the residual against the twin: noise, and the squared perturbation on top."""
    residual = twin_residuals(physical_data)
    chi2 = (residual**2).sum((1, 2, 3))
    none = physical_data.label == CLASSES.index("no_sub")
    pixels = residual[0].size
    assert chi2[none] / pixels == pytest.approx(np.ones(none.sum()), abs=6 * np.sqrt(2 / pixels))
    excess = chi2[~none] - pixels
    expected = physical_data.params["perturbation_snr"][~none] ** 2
    strong = expected > 30**2
    assert strong.sum() > 10
    # The twin has another shot noise than the image, by the part that is perturbed.
    assert np.median(excess[strong] / expected[strong]) == pytest.approx(1, abs=0.1)


def test_images_of_the_published_presets_have_no_twins(configure, tmp_path):
    published = read(simulate(configure(2, n=3, out=tmp_path / "data"))[0])
    with pytest.raises(InputError, match="twins"):
        twin_residuals(published)


@pytest.mark.parametrize("real", [False, True])
def test_twins_shine_like_their_images(configure, tmp_path, real):
    """Without substructure noise alone is left, of look-alikes too, in any part of a data set."""
    options = ("lens_light.enabled=true", "non_lens.fraction=0.3")
    config = configure(2, *options, preset="physical", n=24, out=tmp_path / "d")
    out, _ = simulate(with_galaxies(config) if real else config)
    data = read(out)
    residual = twin_residuals(data)
    chi2 = (residual**2).mean((1, 2, 3))
    smooth = np.isin(data.label, [0, 3])
    assert chi2[smooth] == pytest.approx(np.ones(smooth.sum()), abs=0.15)
    assert chi2[~smooth].max() > 1.5
    some = read(out, classes=["axion", "non_lens"])
    assert np.allclose(twin_residuals(some), residual[data.label >= 2], atol=1e-4)
