"""Images in files, on the pixels of a network."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits

from learn import load_model
from learn.config import PredictConfig
from learn.finetune import finetune
from learn.inference.cutouts import Cutout, CutoutRemarks, find_inputs, read_images
from lensphys.ground.config import load_config, shipped_config
from simulate.dataset.padding import COLUMNS
from simulate.importers.run import import_images
from tests.simulate.importers import make_files

SIZE, SCALE = 16, 0.1


def network(
    unit: str = "e-/s", *, surface_brightness: bool = False, makes_images: bool = False
) -> Any:
    """A network of the numbers that reading needs."""
    return SimpleNamespace(
        purpose="superres",
        column="image",
        makes_images=makes_images,
        size=SIZE,
        pixel_scale=SCALE,
        unit=unit,
        surface_brightness=surface_brightness,
        factor=2 if makes_images else 1,
        largest=1e10,
        softening=1e-2,
    )


def read(model: Any, *paths: Path, **options: Any) -> tuple[list[Cutout], list[str]]:
    shipped = shipped_config("predict", "predict", "command")
    config = load_config(PredictConfig, shipped, **options)
    remarks = CutoutRemarks()
    files = [file for path in paths for file in find_inputs(path, remarks)]
    cutouts = list(read_images(files, model, config, remarks, lambda path, part: None))
    return cutouts, list(remarks.lines(len(cutouts)))


def save(path: Path, image: np.ndarray, scale: float = SCALE, **header: Any) -> Path:
    cards = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10, "CRVAL2": 2})
    cards.update({"CDELT1": -scale / 3600, "CDELT2": scale / 3600, **header})
    fits.writeto(path, image, cards)
    return path


@pytest.fixture
def scene() -> np.ndarray:
    return np.random.default_rng(0).random((32, 32)) + 1


@pytest.mark.parametrize(
    ("unit", "trained", "factor"),
    [
        ("MJy/sr", False, 1),
        ("e-/s/arcsec2", True, 1),
        ("ELECTRONS/S", True, 4),
        ("", False, 4),
        ("", True, 1),
        ("furlong", True, 1),
    ],
)
def test_the_unit_decides_what_wider_pixels_hold(
    tmp_path: Path, scene: np.ndarray, unit: str, trained: bool, factor: int
) -> None:
    path = save(tmp_path / "a.fits", scene, SCALE / 2, BUNIT=unit)
    (cutout,), lines = read(network(surface_brightness=trained), path)
    assert cutout.surface_brightness == (factor == 1)
    mean = scene.reshape(16, 2, 16, 2).mean((1, 3))
    np.testing.assert_allclose(cutout.frame.pixels, factor * mean, rtol=1e-6)
    assert any("resampled" in line for line in lines)


def test_flux_in_an_unknown_unit_is_said(tmp_path: Path, scene: np.ndarray) -> None:
    path = tmp_path / "a.npy"
    np.save(path, scene)
    lines = read(network("unknown"), path, pixel_scale=SCALE / 2)[1]
    assert "1 image in an unknown unit, taken for flux per pixel" in lines
    assert len(read(network("e-/s"), path, pixel_scale=SCALE / 2)[1]) == 1


@pytest.mark.parametrize("value", [1.6e38, -1.6e38, 1e300, np.inf, np.nan, 1e11])
def test_what_a_network_cannot_hold_is_a_bad_pixel(
    tmp_path: Path, scene: np.ndarray, value: float
) -> None:
    scene[8:10, 9] = value
    np.save(tmp_path / "a.npy", scene)
    (cutout,), _ = read(network(), tmp_path / "a.npy", pixel_scale=SCALE)
    assert cutout.bad == 2
    assert not cutout.blank
    assert np.abs(cutout.frame.pixels).max() < 3


def test_images_that_show_nothing_are_known(tmp_path: Path, scene: np.ndarray) -> None:
    for name, image in {
        "zero": np.zeros((32, 32)),
        "const": np.full((20, 20), 3.3),
        "hole": np.where(np.hypot(*(np.mgrid[:32, :32] - 15.5)) < 13, 1.0, scene),
        "faint": scene * 1e-40,
        "one": np.where(scene == scene[4, 4], scene, np.nan),
    }.items():
        np.save(tmp_path / f"{name}.npy", image)
    cutouts, lines = read(network(), tmp_path, pixel_scale=SCALE)
    assert [cutout.blank for cutout in cutouts] == [True] * 5
    assert "1 image with more than half of its pixels filled" in lines
    assert not any("equal" in line for line in lines)
    lines = read(network(makes_images=True), tmp_path, pixel_scale=SCALE)[1]
    assert "5 images with pixels that are all equal" in lines


def test_an_image_of_excess_alone_is_left_out(tmp_path: Path, scene: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", scene * 1e20)
    np.save(tmp_path / "b.npy", np.full((32, 32), np.nan))
    cutouts, lines = read(network(), tmp_path, pixel_scale=SCALE)
    assert not cutouts
    assert "all of its good pixels exceed 1e+10" in lines[0]
    assert "it has no good pixel" in lines[1]


@pytest.mark.parametrize("part", [1.1, 2.0, 3.0])
def test_pixels_finer_than_those_that_are_enlarged_are_refused_with_what_serves_them(
    tmp_path: Path, scene: np.ndarray, part: float
) -> None:
    path = save(tmp_path / "a.fits", scene, SCALE / part)
    cutouts, lines = read(network(makes_images=True), path)
    assert not cutouts
    scale = f"{SCALE / part:.3g}"
    finer = f"its pixels of {scale} arcsec are finer than those of {SCALE:.3g} that the network "
    assert f"{finer}serves, which makes {SCALE / 2:.3g}; train" in lines[0]
    assert f"import PAIRS --pixel-scale {SCALE / part / 2:.3g}`" in lines[0]
    assert read(network(), path)[0], "other networks take them"
    for name, scale in (("b.fits", SCALE), ("c.fits", 1.6 * SCALE)):
        coarse = save(tmp_path / name, scene, scale)
        assert read(network(makes_images=True), coarse)[0]


def test_files_that_show_no_sky_or_cannot_be_read_are_named(
    tmp_path: Path, scene: np.ndarray
) -> None:
    for name in ("lens", "lens_psf", "lens_rms"):
        save(tmp_path / f"{name}.fits", scene)
    (tmp_path / "circle.fits").symlink_to("circle.fits")
    (tmp_path / "empty.fits").touch()
    cutouts, lines = read(network(), tmp_path)
    assert [cutout.path.name for cutout in cutouts] == ["lens.fits"]
    text = "\n".join(lines)
    for name in ("lens_psf.fits", "lens_rms.fits", "circle.fits", "empty.fits"):
        assert name in text
    cutouts, _ = read(network(), tmp_path / "lens_psf.fits[0]")
    assert len(cutouts) == 1


def test_only_the_first_of_many_remarks_are_made_one_by_one(
    tmp_path: Path, scene: np.ndarray
) -> None:
    save(tmp_path / "a.fits", scene)
    for i in range(15):
        shutil.copyfile(tmp_path / "a.fits", tmp_path / f"a{i}_psf.fits")
        (tmp_path / f"z{i}.npy").touch()
    lines = read(network(), tmp_path)[1]
    assert "15 files left out" in lines
    assert lines[-1] == "15 skipped, 1 predicted"
    assert len(lines) < 30


def test_images_of_which_nothing_could_be_computed_are_named() -> None:
    remarks = CutoutRemarks()
    cutout = SimpleNamespace(name="\x1b[2Ja.fits", blank=False)
    for _ in range(12):
        remarks.fail(cutout)  # type: ignore[arg-type]
    lines = list(remarks.lines(20))
    assert lines[0] == r"NaN for \x1b[2Ja.fits: the network gives no number"
    assert lines[-1] == "12 of 20 could not be computed: NaN, with the flag 'not computed'"
    assert len(lines) == 11


def shard(path: Path, images: np.ndarray, around: list[list[int]], scale: float = SCALE) -> Path:
    with h5py.File(path, "w") as file:
        file["image"], file.attrs["pixel_scale"] = images[:, None], scale
        for name, column in zip(COLUMNS, np.array(around, float).T, strict=True):
            file[f"params/{name}"] = column
    return path


def test_padding_of_a_data_set_stays_where_training_has_seen_it(tmp_path: Path) -> None:
    """Turned by augmentation, the odd pixel is at another edge; and the fill may be zero."""
    images = np.random.default_rng(0).random((3, SIZE, SIZE)).astype(np.float32) + 1
    around = [[3, 2, 2, 3], [0, 0, 0, 0], [0, 5, 1, 0]]
    images[0, :2], images[0, -3:], images[0, :, :3], images[0, :, -2:] = 0, 0, 0, 0
    cutouts, lines = read(network(), shard(tmp_path / "a.h5", images, around))
    assert [list(cutout.frame.padding) for cutout in cutouts] == around
    for cutout, image in zip(cutouts, images, strict=True):
        assert np.array_equal(cutout.frame.pixels.astype(np.float32), image)
    assert lines == []
    # On other pixels, what is shown is resampled, and padded anew.
    path = shard(tmp_path / "b.h5", images[:1], around[:1], SCALE / 1.25)
    (cutout,), lines = read(network(), path)
    assert cutout.frame.padding == (4, 4, 4, 4)
    assert any("padded" in line for line in lines)


def test_padding_that_is_no_number_is_put_on_anew(tmp_path: Path) -> None:
    images = np.ones((1, SIZE, SIZE))
    images[:, :, :2] = np.nan
    (cutout,), _ = read(network(), shard(tmp_path / "a.h5", images, [[2, 0, 0, 0]]))
    assert np.isfinite(cutout.frame.pixels).all()
    assert cutout.frame.padding == (1, 1, 0, 0)


def test_padded_images_have_the_predictions_that_the_run_has_written(
    tmp_path: Path, finetune_config: Any
) -> None:
    for name in ("lens", "other"):
        for n in range(57, 71):
            make_files.save(tmp_path / "cut" / name / f"{n}.npy", make_files.image(n))
    given = make_files.options(label_names=("lens", "other"), out=tmp_path / "data", fill="zero")
    data, _ = import_images(tmp_path / "cut", given)
    once = ("optimizer.epochs=1",)
    config = finetune_config("classify", once, data=data, encoder="none", out=tmp_path / "run")
    run, _ = finetune(config)
    model = load_model(run)
    pixels = np.stack([cutout.frame.pixels for cutout in read(model, data)[0]])
    with h5py.File(run / "predictions.h5") as file:
        expected, index = file["prediction"][()], file["index"][()]
    np.testing.assert_allclose(model(pixels[index]), expected, atol=1e-6)
