"""Predictions for files of astronomers."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

import cli
from learn import load_model
from learn.config import PredictConfig
from learn.data_description import describe
from learn.inference.cutouts import CutoutRemarks, read_images
from learn.inference.model import Model
from learn.inference.predict import predict
from learn.lens_fits.lens_fits import LensFits
from learn.tasks.classify import Classify
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import LENS_FIT


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def predicted(run: Path, *inputs: Path, **options: Any) -> tuple[Path, int, list[str]]:
    config = load_config(
        PredictConfig,
        shipped_config("predict", "predict", "command"),
        **{"device": "cpu", **options},
    )
    lines: list[str] = []
    out, count = predict(run, inputs, config, warn=lines.append)
    return out, count, lines


def sky(scale: float, shape: tuple[int, int]) -> WCS:
    """North up, turned by 30 degrees; the reference pixel off the centre."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.crpix = [shape[1] / 3, shape[0] / 4]
    turn = np.deg2rad(30)
    matrix = [[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.cd = np.array(matrix) * scale / 3600
    wcs.wcs.set()
    return wcs


def save_fits(path: Path, image: np.ndarray, scale: float | None, **header: Any) -> Path:
    cards = fits.Header() if scale is None else sky(scale, image.shape[-2:]).to_header()
    cards.update(header)
    fits.writeto(path, image, cards)
    return path


def star(shape: tuple[int, int], y: float, x: float, sigma: float = 2.0) -> np.ndarray:
    """A Gaussian of flux one about (y, x), in pixels from the edge of the first."""
    row, column = (np.arange(n) + 0.5 for n in shape)
    light = np.exp(-((row[:, None] - y) ** 2 + (column - x) ** 2) / (2 * sigma**2))
    return np.asarray(light / (2 * np.pi * sigma**2))


def test_a_table_has_the_probabilities_that_the_run_has_written(
    classifier: Path, model2: Path
) -> None:
    out, count, lines = predicted(classifier, model2, batch_size=7)
    assert (out, count, lines) == (Path("predictions.csv"), 60, [])
    table = Table.read(out)
    assert table.colnames == [
        "file", "index", "ra", "dec", "predicted", "score", "p_no_sub", "p_cdm", "p_axion",
        "distance", "n_bad_pixels", "flag"
    ]  # fmt: skip
    with h5py.File(classifier / "predictions.h5") as file:
        expected, index = file["prediction"][()], file["index"][()]
    found = np.array([table[f"p_{name}"] for name in ("no_sub", "cdm", "axion")]).T
    np.testing.assert_allclose(found[index], expected, atol=1e-6)
    assert table["predicted"][0] == ["no_sub", "cdm", "axion"][found[0].argmax()]


def test_every_way_to_store_the_same_images_gives_the_same_predictions(
    classifier: Path, model2: Path, tmp_path: Path
) -> None:
    images = shards.read(model2).image[:3]
    np.save("images.npy", images)
    np.save("stack.npy", images[:, 0])
    np.save("one.npy", images[1, 0])
    save_fits(tmp_path / "cube.fits", images[:, 0], 0.101)
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        save_fits(tmp_path / "folder" / f"{i}.fits", image[0], 0.101)
    names = ("images.npy", "stack.npy", "cube.fits", "folder", "one.npy")
    for ending in (".csv", ".ecsv", ".fits"):
        out, count, _ = predicted(
            classifier, *map(Path, names), pixel_scale=0.101, out=Path(f"t{ending}")
        )
        table = Table.read(out)
        assert count == len(table) == 13
        p = np.array(table["p_cdm"], float)
        np.testing.assert_allclose(p[:12], np.tile(p[:3], 4), atol=1e-6)
        assert p[12] == pytest.approx(p[1], abs=1e-6)
        assert list(table["index"]) == [0, 1, 2] * 3 + [0] * 4
        assert str(table["file"][9]) == "folder/0.fits"
    direct = load_model(classifier)(images)
    np.testing.assert_allclose(p[:3], direct[:, 1], atol=1e-6)


def test_fits_of_another_telescope_is_resampled_cropped_and_filled(
    classifier: Path, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).normal(size=(150, 140)).astype(np.float32)
    image[3, 4:6] = np.nan
    path = save_fits(tmp_path / "a.fits", image, 0.05, BUNIT="ADU")
    out, _, lines = predicted(classifier, path)
    assert Table.read(out)["n_bad_pixels"][0] == 2
    assert lines == [
        "1 image resampled from 0.05 to 0.101 arcsec",
        "1 image cropped from 74 x 69 to 64 x 64 pixels",
        "1 image in 'ADU', where the network was trained on '2 e-/s'",
        "1 of 1 flagged: 1 unlike training",
    ]


def test_broken_files_are_named_and_the_others_predicted(
    classifier: Path, model2: Path, tmp_path: Path
) -> None:
    good = shards.read(model2).image[:2, 0]
    stack = good.copy()
    stack[1] = np.nan
    np.save("stack.npy", stack)
    Path("bad.npy").write_bytes(b"nonsense")
    Path("notes.txt").write_text("nonsense")
    fits.PrimaryHDU().writeto("empty.fits")
    save_fits(tmp_path / "nowhere.fits", good[0], None)
    whole = save_fits(tmp_path / "whole.fits", good[0], 0.101).read_bytes()
    Path("half.fits").write_bytes(whole[: len(whole) // 2])
    shard = (model2 / "shard-00000.h5").read_bytes()
    Path("half.h5").write_bytes(shard[: len(shard) // 2])
    save_fits(tmp_path / "pixels.fits", np.zeros((20, 20)), None, CTYPE1="RA---TAN",
              CTYPE2="DEC--TAN", CDELT1=1e-4, CDELT2=2e-4)  # fmt: skip
    np.save("text.npy", np.array(["a", "b"]))
    names = ["bad.npy", "notes.txt", "empty.fits", "nowhere.fits", "half.fits", "half.h5"]
    names += ["pixels.fits", "text.npy", "none.fits", "whole.fits"]
    out, count, lines = predicted(classifier, *map(Path, names))
    assert count == 1
    assert Table.read(out)["file"][0] == "whole.fits"
    reasons = dict(line.removeprefix("skipped ").split(": ", 1) for line in lines[:-1])
    assert reasons.keys() == set(names) - {"whole.fits"}
    assert lines[-1] == "9 skipped, 1 predicted"
    assert reasons["bad.npy"] == "it is not an .npy file"
    assert reasons["notes.txt"] == "it is no .fits, .npy or .h5 file"
    assert reasons["empty.fits"] == "it has no image extension"
    assert reasons["nowhere.fits"] == "it does not say its pixel scale; give --pixel-scale ARCSEC"
    assert "truncated" in reasons["half.fits"]
    assert "damaged" in reasons["half.h5"]
    assert "not square" in reasons["pixels.fits"]
    assert reasons["none.fits"] == "there is no such file or folder"
    _, count, lines = predicted(classifier, Path("stack.npy"), pixel_scale=0.101)
    assert lines == ["skipped stack.npy[1]: it has no good pixel", "1 skipped, 1 predicted"]


def test_a_pixel_scale_that_contradicts_the_file_is_refused(
    classifier: Path, tmp_path: Path
) -> None:
    path = save_fits(tmp_path / "a.fits", np.ones((64, 64)), 0.1)
    with pytest.raises(InputError, match=r"--pixel-scale 0\.2: the file says 0\.1 arcsec"):
        predicted(classifier, path, pixel_scale=0.2)
    assert not Path("predictions.csv").exists()


@pytest.mark.parametrize(("given", "unsaid"), [(None, 70.0), (55.0, 55.0)])
def test_every_image_is_fitted_with_its_own_exposure_time(
    model2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    untrained_task: Any,
    random_fits: Any,
    given: float | None,
    unsaid: float,
) -> None:
    """Shards and headers state it; else it is the given one, or that of the training images."""
    shutil.copytree(model2, "data")
    with h5py.File("data/shard-00000.h5", "r+") as file:
        file["params/exposure_time"][:3] = [100.0, 200.0, np.nan]
    cube = np.ones((2, 64, 64), np.float32)
    save_fits(tmp_path / "cube.fits", cube, 0.101, EXPTIME=30.0)
    np.save("a.npy", cube)
    seen: list[float] = []

    def fit(images: torch.Tensor, photometry: Any, *settings: Any, **options: Any) -> LensFits:
        seen.extend(photometry.exposure)
        return random_fits(len(images))

    monkeypatch.setattr("learn.lens_fits.lens_fitting.fit_loose_images", fit)
    task, _ = untrained_task("classify", model2, LENS_FIT, "params.sees_fit=false")
    task.lens_fitting.exposure.fill_(70.0)
    monkeypatch.setattr(task, "predict_batch", lambda batch: batch.label)
    model = Model(task, describe(shards.read(model2)), Path("run"))
    names = [Path("data/shard-00000.h5"), Path("cube.fits"), Path("a.npy")]
    shipped = shipped_config("predict", "predict", "command")
    config = load_config(PredictConfig, shipped, pixel_scale=0.101, exposure_time=given)
    for cutout in read_images(names, model, config, CutoutRemarks(), lambda path, part: None):
        pixels = torch.from_numpy(cutout.frame.pixels)
        model(pixels, np.array([cutout.exposure_time]))
    assert [*seen[:3], *seen[60:]] == [100.0, 200.0, unsaid, 30.0, 30.0, unsaid, unsaid]


@pytest.mark.parametrize("scale", [0.202, 0.25])
def test_super_resolved_fits_keeps_its_place_on_the_sky(
    superresolver: Path, tmp_path: Path, scale: float
) -> None:
    shape = (50, 24)
    image = 30 * star(shape, 22.0, 13.0, sigma=2.5)  # outshines what one epoch has taught
    path = save_fits(
        tmp_path / "a.fits", image.astype(np.float32), scale, BUNIT="2 e-/s", FILTER="F814W"
    )
    out, count, _ = predicted(superresolver, path)
    assert (out, count) == (Path("predictions"), 1)
    with fits.open(out / "a_x2.fits") as file:
        finer, header = file[0].data, file[0].header
    rows, columns = (min(32, int(n * scale / 0.202 + 1e-6)) * 2 for n in shape)
    assert finer.shape == (rows, columns), "without padding"
    assert (header["BUNIT"], header["FILTER"]) == ("2 e-/s", "F814W")
    assert header["PIXSCALE"] == pytest.approx(0.101, rel=1e-3)
    before, after = sky(scale, shape), WCS(header)
    width = np.sqrt(np.abs(np.linalg.det(after.pixel_scale_matrix))) * 3600
    assert width == pytest.approx(0.101, rel=1e-6)
    y, x = np.unravel_index(finer.argmax(), finer.shape)
    there, true = after.pixel_to_world(x, y), before.pixel_to_world(13.0 - 0.5, 22.0 - 0.5)
    assert there.separation(true).arcsec < max(0.101, 0.6 * scale)
    middle = after.pixel_to_world((columns - 1) / 2, (rows - 1) / 2)
    apart = middle.separation(before.pixel_to_world(23 / 2, 49 / 2)).arcsec
    assert apart < 1e-4, "both are of the same field"


def test_distortions_of_the_original_hold_for_the_finer_pixels(
    superresolver: Path, tmp_path: Path
) -> None:
    wcs = sky(0.202, (40, 40))
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    header = wcs.to_header(relax=True)
    header.update({"A_ORDER": 3, "B_ORDER": 2, "A_2_0": 3e-4, "A_1_2": 2e-6, "B_1_1": -2e-4})
    fits.writeto("a.fits", np.ones((40, 40)), header)
    out, _, _ = predicted(superresolver, Path("a.fits"))
    before, after = WCS(fits.getheader("a.fits")), WCS(fits.getheader(out / "a_x2.fits"))
    assert after.sip is not None
    for x, y in ((0.0, 0.0), (63.0, 10.0), (20.0, 63.0)):
        old = before.pixel_to_world((x + 0.5) / 2 + 4 - 0.5, (y + 0.5) / 2 + 4 - 0.5)
        assert after.pixel_to_world(x, y).separation(old).arcsec < 1e-6


def test_images_of_one_name_and_of_a_stack_go_to_files_of_their_own(
    superresolver: Path, pairs: Path, tmp_path: Path
) -> None:
    low = shards.read(pairs).image_lr
    assert low is not None
    for name in ("a", "b"):
        Path(name).mkdir()
        np.save(f"{name}/x.npy", low[0, 0])
    np.save("stack.npy", low[:2])
    out, _, _ = predicted(
        superresolver, Path("a"), Path("b"), Path("stack.npy"), pixel_scale=0.202, out=Path("o")
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "stack-00000_x2.fits",
        "stack-00001_x2.fits",
        "x_x2-2.fits",
        "x_x2.fits",
    ]
    data, n = fits.getdata(out / "x_x2.fits"), predicted(superresolver, pairs, out=Path("p"))[1]
    assert n == 48
    # Another batch is rounded another way.
    among_others = fits.getdata(Path("p") / "shard-00000-00000_x2.fits")
    np.testing.assert_allclose(data, among_others, atol=1e-6)
    np.testing.assert_allclose(data, load_model(superresolver)(low[0])[0, 0], atol=1e-6)


def test_folders_without_a_finished_run_are_refused(classifier: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(classifier, half)
    (half / "metrics.json").unlink()
    pretrained = tmp_path / "mae"
    pretrained.mkdir()
    (pretrained / "config.yaml").write_text("method: mae\n")
    damaged = tmp_path / "damaged"
    shutil.copytree(classifier, damaged)
    (damaged / "model.safetensors").write_bytes(b"nonsense")
    for run, message in (
        (tmp_path / "none", "is not a run; give the folder of a finished"),
        (half, "is not finished; run its finetune command again"),
        (pretrained, "is a pretrain run, which predicts nothing by itself; fine-tune it first"),
        (damaged, "cannot be read as safetensors"),
    ):
        with pytest.raises(InputError, match=message):
            predicted(run, tmp_path)


def test_what_cannot_be_computed_has_no_class(
    classifier: Path, model2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = shards.read(model2).image[0, 0]
    marked = image.copy()
    marked[3, 4] = 1.6e38
    for name, pixels in {"a": image, "b": np.zeros((64, 64)), "c": marked}.items():
        np.save(f"{name}.npy", pixels)
    out, count, lines = predicted(
        classifier, *map(Path, ("a.npy", "b.npy", "c.npy")), pixel_scale=0.101
    )
    table = Table.read(out)
    assert (count, list(table["n_bad_pixels"])) == (3, [0, 0, 1])
    assert table["flag"][1] == "not computed"
    assert not {"not computed"} & {*table["flag"][[0, 2]].filled("")}
    assert list(table["predicted"].mask) == [False, True, False]
    assert np.isfinite(table["p_cdm"][[0, 2]]).all()
    assert lines[-2:] == [
        "NaN for b.npy: its pixels are equal to the last digit that the network keeps",
        "1 of 3 could not be computed: NaN, with the flag 'not computed'",
    ]
    monkeypatch.setattr(
        Classify, "predict_batch", lambda self, batch: torch.full((3, 3), torch.nan)
    )
    predicted(classifier, Path("a.npy"), Path("b.npy"), Path("c.npy"), pixel_scale=0.101)
    assert list(Table.read(out)["flag"]) == 3 * ["not computed"]


def test_a_batch_that_memory_does_not_hold_is_made_smaller(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save("a.npy", np.random.default_rng(0).random((5, 64, 64)))
    monkeypatch.setattr("learn.inference.predict.images_in_memory", lambda model: 2)
    _, count, lines = predicted(classifier, Path("a.npy"), pixel_scale=0.101, batch_size=2**31 - 1)
    assert count == 5
    assert lines[0] == "batches of 2 images, as many as memory holds, not 2147483647"

    def fail(*given: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Model, "prepare", fail)
    with pytest.raises(InputError, match=r"no memory for a batch of 2 images; give --batch-size 1"):
        predicted(classifier, Path("a.npy"), pixel_scale=0.101)


def test_the_command_line(
    classifier: Path, superresolver: Path, tmp_path: Path, capsys: Any
) -> None:
    def call(line: str) -> tuple[int, str, str]:
        try:
            cli.main(shlex.split(line))
        except SystemExit as stop:
            captured = capsys.readouterr()
            return int(stop.code or 0), captured.out, captured.err
        return 0, *capsys.readouterr()

    save_fits(tmp_path / "a.fits", np.ones((64, 64)), 0.101)
    Path("bad.npy").write_bytes(b"nonsense")
    code, out, err = call(f"predict {classifier} a.fits bad.npy --device cpu")
    assert (code, out) == (0, "wrote predictions.csv (1 image)\n")
    assert "1 skipped, 1 predicted" in err
    Path("predictions.csv").unlink()
    for line, message in (
        (f"{classifier} bad.npy", "error: nothing to predict: bad.npy: it is not an .npy file"),
        (f"{classifier} a.fits --out a.txt", "error: --out a.txt: a table ends in .csv, .ecsv"),
        (f"{superresolver} a.fits --out a.csv", "error: --out a.csv: superres makes images, one"),
        (f"{classifier} a.fits --batch-size 0", "batch_size: Input should be greater than 0"),
        (f"{classifier} a.fits --batch-size {2**70}", "batch_size: Input should be less than"),
        (f"{classifier} bad.npy --out a.fits", "error: --out a.fits is there already and is no"),
        (f"{superresolver} a.fits --out .", "error: --out . is the folder of inputs; choose"),
        (f"{classifier} a.fits --set fil=zero", "(did you mean 'fill'?)"),
    ):
        code, out, err = call(f"predict {line} --device cpu")
        assert (code, out) == (2, "")
        assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fits", "bad.npy"]
