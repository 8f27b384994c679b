"""Files of lens fits beside the shards of a data set."""

import dataclasses
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from learn.config import EncoderConfig
from learn.data import InMemory
from learn.lens_fits import store
from learn.lens_fits.draws import DrawSettings
from learn.lens_fits.fit_model import FitModel
from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.solve import fit_images, recipe
from learn.lens_fits.store import StoredMaps, fit_data_set, fits_for
from lensphys.ground.errors import InputError
from lensphys.ground.locks import hold_in_turn
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet, read
from tests.learn.conftest import TINY, WHOLE_FIT, simulated

SERSIC = FitModel(lens_light=False, shapelets=False)


def made(folder: Path, n: int) -> DataSet:
    return read(simulated(folder, 3, n, preset="physical"))


def test_each_image_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(tmp_path / "data", 9)
    fitted: list[int] = []
    monkeypatch.setattr(store, "fit_images", lambda *a: fitted.append(len(a[0])) or fit_images(*a))
    whole = fit_data_set(data, WHOLE_FIT)
    assert sum(fitted) == 9
    some = fit_data_set(read(data.path, ["cdm"]), WHOLE_FIT)
    assert sum(fitted) == 9, "a selection of the same images"
    assert torch.equal(some.channels[:], whole.channels[data.label == 1])
    other = WHOLE_FIT.model_copy(update={"response": False, "source_plane": False})
    fit_data_set(data, other)
    assert sum(fitted) == 9, "what an encoder sees of it is chosen later"
    data.image[4] *= 1.01
    fit_data_set(data, WHOLE_FIT)
    assert sum(fitted) == 10, "one image has changed"


def test_processes_that_train_together_fit_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made(tmp_path / "data", 5)
    first = fit_data_set(data, WHOLE_FIT)
    (folder,) = data.path.glob("lens-fits-*")
    (part,) = folder.glob("part-*.h5")
    part.rename(tmp_path / part.name)
    monkeypatch.setattr(store, "fit_images", lambda *a: pytest.fail("fitted again"))
    with ThreadPoolExecutor() as pool:
        with hold_in_turn(folder):  # as by the process that fits
            waiting = pool.submit(fit_data_set, data, WHOLE_FIT)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            (tmp_path / part.name).rename(part)
        assert torch.equal(waiting.result(timeout=60).values, first.values)


def test_an_interrupted_pass_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PART", 4)
    data = made(tmp_path / "data", 9)
    whole = fit_data_set(data, WHOLE_FIT)
    (folder,) = data.path.glob("lens-fits-*")
    parts = sorted(folder.glob("part-*.h5"))
    assert len(parts) == 3
    parts[1].unlink()
    again = fit_data_set(data, WHOLE_FIT)
    assert torch.equal(again.channels[:], whole.channels[:])
    assert torch.equal(again.values, whole.values)
    parts[0].write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged; delete it"):
        fit_data_set(data, WHOLE_FIT)


def test_a_data_set_with_lens_fits_beside_it_is_still_whole(tmp_path: Path) -> None:
    data = made(tmp_path / "data", 6)
    fit_data_set(data, WHOLE_FIT)
    again = made(tmp_path / "data", 6)
    np.testing.assert_array_equal(again.image, data.image)


def test_a_data_set_without_a_psf_is_refused(smooth: DataSet) -> None:
    attrs = {key: value for key, value in smooth.attrs.items() if key != "psf_fwhm"}
    silent = DataSet(
        smooth.path, smooth.image, smooth.label, smooth.params, None, attrs, smooth.config
    )
    with pytest.raises(InputError, match="does not say its psf_fwhm"):
        fit_data_set(silent, WHOLE_FIT)


def test_covariances_statistics_and_parameters_lie_beside_the_shards(smooth: DataSet) -> None:
    fits = fit_data_set(smooth, WHOLE_FIT)
    assert fits.statistics is not None
    assert fits.statistics.shape == (24, 48)
    assert fits.statistics.dtype == torch.float32
    for path in smooth.path.glob("lens-fits-*/part-*.h5"):
        with h5py.File(path) as file:
            assert file["covariance"].shape == (24, len(fits.names), len(fits.names))
            assert list(file.attrs["names"]) == list(fits.names)
            assert file["statistics"].shape == (24, 48)
            assert file["statistics"].dtype == np.float32


def test_fits_with_draws_and_without_are_two_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws come back in the order of their images, and change no fit."""
    monkeypatch.setattr(store, "_PART", 3)
    monkeypatch.setattr(store, "_BLOCK", 2)
    data, settings = made(tmp_path / "data", 5), DrawSettings(count=3, most=4)
    plain = fit_data_set(data, WHOLE_FIT)
    first = fit_data_set(data, WHOLE_FIT, draws=settings)
    assert len(list(data.path.glob("lens-fits-*"))) == 2
    assert plain.draws is plain.moments is None
    torch.testing.assert_close(first.values, plain.values)
    torch.testing.assert_close(first.statistics, plain.statistics)
    monkeypatch.setattr(store, "fit_images", lambda *a: pytest.fail("fitted again"))
    again = fit_data_set(data, WHOLE_FIT, draws=settings)
    assert isinstance(again.draws, StoredMaps)
    assert again.draws.shape == (5, 3, 64, 64)
    assert again.moments is not None
    assert again.moments.shape == (5, 3, 5)
    assert torch.equal(again.draws[:], first.draws[:])
    assert torch.equal(again.moments, first.moments)
    assert torch.equal(again.statistics, first.statistics)
    rows = torch.tensor([4, 0])
    taken = again.rows(rows)
    assert isinstance(taken.draws, torch.Tensor)
    assert torch.equal(taken.draws, first.draws[:][rows])
    assert torch.equal(taken.moments, first.moments[rows])
    length = taken.draws.flatten(2).norm(dim=2)
    torch.testing.assert_close(length, torch.ones(2, 3), rtol=2e-3, atol=0)
    # Each image has a seed of its own, which follows from what is in it.
    one = store.fit_data_set(read(data.path, ["cdm"]), WHOLE_FIT, draws=settings)
    assert torch.equal(one.draws[:], first.draws[:][data.label == 1])
    assert not torch.equal(first.moments[0], first.moments[1])


def test_a_file_that_was_repacked_is_refused(tmp_path: Path) -> None:
    """Maps that are compressed lie there in no one piece."""
    data = made(tmp_path / "data", 3)
    fit_data_set(data, WHOLE_FIT)
    (path,) = data.path.glob("lens-fits-*/part-*.h5")
    with h5py.File(path, "a") as file:
        values = file["channels"][()]
        del file["channels"]
        file.create_dataset("channels", data=values, chunks=True, compression="gzip")
    with pytest.raises(InputError, match="was repacked; delete it to have its lenses fitted"):
        fit_data_set(data, WHOLE_FIT)


def test_a_file_that_lacks_an_array_is_damaged(tmp_path: Path) -> None:
    data, settings = made(tmp_path / "data", 3), DrawSettings(count=2, most=3)
    fit_data_set(data, WHOLE_FIT, draws=settings)
    (path,) = data.path.glob("lens-fits-*/part-*.h5")
    for name in ("params", "statistics", "channels", "draws", "moments"):
        with h5py.File(path, "a") as file:
            file.move(name, "gone")
        with pytest.raises(InputError, match="is damaged; delete it"):
            fit_data_set(data, WHOLE_FIT, draws=settings)
        with h5py.File(path, "a") as file:
            file.move("gone", name)
    assert len(fit_data_set(data, WHOLE_FIT, draws=settings)) == 3


def test_memory_holds_the_channels_of_a_batch_and_not_of_a_data_set(
    smooth: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, batch = 512, 16

    def marked(images: torch.Tensor, *_: Any) -> LensFits:
        """Fits whose channels hold the number of the image in every pixel."""
        channels = images[:, :1, :1, None].expand(-1, 6, 64, 64).half()
        zeros = torch.zeros(len(images), len(NAMES))
        covariance = zeros[:, :, None] * zeros[:, None]
        found, statistics = zeros[:, 0] == 0, torch.zeros(len(images), 48)
        return LensFits(NAMES, zeros, covariance, zeros[:, 0], found, channels, statistics)

    monkeypatch.setattr(store, "fit_images", marked)
    monkeypatch.setattr(store, "_PART", 64)
    order = np.random.default_rng(0).permutation(count)
    image = np.broadcast_to(order[:, None, None, None], (count, 1, 64, 64)).astype(np.float32)
    params = {name: np.resize(values, count) for name, values in smooth.params.items()}
    data = DataSet(
        tmp_path, image, np.zeros(count, np.int64), params, None, smooth.attrs, smooth.config
    )
    tracemalloc.start()
    try:
        memory = InMemory(data, fits=fit_data_set(data, WHOLE_FIT))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for indices in torch.randperm(count).split(batch):
            channels = memory[indices].channels
            assert channels is not None
            expected = torch.from_numpy(order)[indices, None, None, None].float()
            assert torch.equal(channels, expected.expand(-1, 6, 64, 64))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    of_an_image = 6 * 64 * 64 * 2
    assert before < count * of_an_image / 8, "after the fit, nothing but parameters is kept"
    assert peak - before < 8 * batch * of_an_image
    assert after - before < batch * of_an_image


def test_files_of_earlier_versions_are_taken_over_and_not_fitted_again(
    smooth: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit_data_set(smooth, WHOLE_FIT)
    data = read(shutil.copytree(smooth.path, tmp_path / "data"))
    for folder in data.path.glob("lens-fits-*"):
        folder.rename(folder.with_name(folder.name.replace("fits", "prior")))
    monkeypatch.setattr(store, "fit_images", lambda *a: pytest.fail("fitted again"))
    again = fit_data_set(data, WHOLE_FIT)
    assert torch.equal(again.values, first.values)
    assert torch.equal(again.channels[:], first.channels[:])
    (folder,) = data.path.glob("lens-fits-*")
    assert not (data.path / folder.name.replace("fits", "prior")).exists()


def test_an_encoder_that_sees_images_alone_needs_no_fits(smooth: DataSet) -> None:
    encoder = EncoderConfig(**TINY)
    assert fits_for(encoder, smooth) is None
    found = fits_for(encoder.model_copy(update={"lens_fit": WHOLE_FIT}), smooth)
    assert found is not None
    assert len(found) == len(smooth)


def test_stored_maps_are_read_by_slice_mask_and_indices() -> None:
    parts = [np.random.default_rng(0).random((n, 6, 4, 4)).astype(np.float16) for n in (3, 2)]
    stored = StoredMaps(parts, np.array([1, 0, 0, 1]), np.array([0, 2, 0, 1]))
    expected = torch.from_numpy(np.stack([parts[1][0], parts[0][2], parts[0][0], parts[1][1]]))
    assert len(stored) == 4
    assert stored.shape == (4, 6, 4, 4)
    for rows in (slice(1, 3), np.array([True, False, False, True]), torch.tensor([3, 0, 0])):
        assert torch.equal(stored[rows], expected[rows].float())


def test_padding_is_part_of_what_a_fit_is_of(smooth: DataSet) -> None:
    """Images without padding have the keys that they had before there was any."""
    known = Photometry.of(smooth).select(slice(0, 3))
    around = dataclasses.replace(
        known, padding=np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    )
    plain, padded = (store._keys(smooth.image[:3], one) for one in (known, around))
    assert plain[0] == padded[0]
    assert len({*plain, *padded}) == 5
    assert recipe(known, WHOLE_FIT, SERSIC) == recipe(around, WHOLE_FIT, SERSIC)
