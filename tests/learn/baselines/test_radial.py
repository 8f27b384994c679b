import numpy as np
import pytest

from learn.baselines.radial import radial_classifier, radial_features


def test_the_features_of_a_flat_image_are_its_level() -> None:
    features = radial_features(np.full((2, 1, 64, 64), 3.0, np.float32))
    assert features.shape == (2, 42)
    np.testing.assert_allclose(features[:, :40:2], np.log(3))
    np.testing.assert_allclose(features[:, 40], np.log(3))
    np.testing.assert_allclose(features[:, 41], np.log(3 * 64 * 64))


def test_the_features_do_not_change_when_the_image_is_turned() -> None:
    images = np.random.default_rng(0).random((3, 1, 65, 65)).astype(np.float32)
    turned = np.rot90(images, axes=(2, 3))
    np.testing.assert_allclose(radial_features(images), radial_features(turned), rtol=1e-6)


def test_the_classifier_tells_rings_of_two_sizes_apart() -> None:
    y, x = np.indices((64, 64)) - 31.5
    radius = np.hypot(x, y)
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    size = 10 + 0.5 * label + rng.normal(0, 0.1, 60)
    images = np.exp(-((radius - size[:, None, None]) ** 2) / 4)
    classifier = radial_classifier().fit(radial_features(images[:40]), label[:40])
    assert classifier.score(radial_features(images[40:]), label[40:]) == pytest.approx(1.0)


def test_padding_does_not_count() -> None:
    """Marked by NaN, it leaves the numbers of what is shown; a ring of padding has those inside."""
    images = np.random.default_rng(0).random((2, 1, 30, 30)).astype(np.float32) + 1
    padded = np.full((2, 1, 40, 40), np.nan, np.float32)
    padded[:, :, 5:-5, 5:-5] = images
    alone, found = radial_features(images), radial_features(padded)
    np.testing.assert_allclose(found[:, :40], alone[:, :40], rtol=1e-10)
    np.testing.assert_allclose(found[:, 40:], alone[:, 40:], rtol=1e-10)
    small = np.full((1, 1, 40, 40), np.nan, np.float32)
    small[:, :, 15:-15, 15:-15] = images[:1, :, :10, :10]
    rings = radial_features(small)[0, :40].reshape(20, 2)
    np.testing.assert_array_equal(rings[8:], np.tile(rings[7], (12, 1)))
