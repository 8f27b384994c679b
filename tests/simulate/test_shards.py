"""Reading a data set: what comes back, and one line of advice for whatever is wrong with it."""

import fcntl
import json
import shutil

import h5py
import numpy as np
import pytest

from lensphys.ground import room
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing, sha256
from simulate import shards
from simulate.run import simulate
from simulate.shards import MANIFEST, is_shard_intact, manifest_text, read, write_shard

SHARD = "shard-00001.h5"


def change_manifest(folder, **changes):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text(manifest | changes))


def replaced(name, change):
    """Damage: a dataset of the shard is exchanged for what ``change`` makes of it."""

    def damage(folder):
        with h5py.File(folder / SHARD, "r+") as file:
            values = file[name][()]
            del file[name]
            file[name] = change(values)

    return damage


def with_pixel(value):
    def change(image):
        image[3, 0, 5, 5] = value
        return image

    return change


def without(name):
    def damage(folder):
        with h5py.File(folder / SHARD, "r+") as file:
            del file[name]

    return damage


def foreign(folder):
    with h5py.File(folder / SHARD, "w") as file:
        file["spectrum"] = np.ones(10)


def truncated(folder):
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(content[: len(content) // 2])


def other_pixels(folder):
    with h5py.File(folder / SHARD, "r+") as file:
        del file["image"]
        file["image"] = np.zeros((32, 1, 150, 150), np.float32)


def with_attribute(name, value):
    def damage(folder):
        with h5py.File(folder / SHARD, "r+") as file:
            file.attrs.pop(name, None)
            if value is not None:
                file.attrs[name] = value

    return damage


def linked(folder, link):
    with h5py.File(folder / SHARD, "r+") as file:
        del file["image"]
        file["image"] = link


def declared(folder, shape):
    """Images that are declared and not there."""
    with h5py.File(folder / SHARD, "r+") as file:
        del file["image"]
        file.create_dataset("image", shape, "f4", chunks=(1, 1, 64, 64))


def error_of(folder, classes=None):
    with pytest.raises(InputError) as error:
        read(folder, classes)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_everything_that_was_written_is_read(undisturbed):
    data = read(undisturbed)
    assert len(data) == 96
    assert (data.image.shape, data.image.dtype) == ((96, 1, 64, 64), np.float32)
    assert (data.label.shape, data.label.dtype) == ((96,), np.int64)
    assert data.label_names == ["no_sub", "cdm", "axion"]
    assert data.image_lr is None
    assert (data.attrs["model"], data.attrs["unit"]) == (2, "2 e-/s")
    assert data.config["seed"] == 5
    with h5py.File(undisturbed / SHARD) as file:
        assert np.array_equal(data.image[32:64], file["image"][()])
        assert np.array_equal(data.params["source_center_x"][32:64], file["params/source_center_x"])


@pytest.mark.parametrize("classes", [["cdm"], ["axion", "no_sub"]])
def test_classes_are_chosen_and_labels_stay(undisturbed, classes):
    whole, data = read(undisturbed), read(undisturbed, classes)
    keep = np.isin(whole.label, [whole.label_names.index(name) for name in classes])
    assert np.array_equal(data.label, whole.label[keep])
    assert np.array_equal(data.image, whole.image[keep])
    assert len(data.params["theta_E"]) == len(data) == 32 * len(classes)


def test_an_unknown_class_is_told_the_known_ones(undisturbed):
    message = error_of(undisturbed, ["cdm", "wdm"])
    assert "'wdm'" in message
    assert "no_sub, cdm, axion" in message


def test_a_missing_folder(tmp_path):
    assert f"there is no data set at {tmp_path / 'none'}" in error_of(tmp_path / "none")
    assert "`python cli.py simulate`" in error_of(tmp_path / "none")


def test_a_folder_without_manifest(copy):
    (copy / MANIFEST).unlink()
    assert "is not a data set: it has no manifest.json" in error_of(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"schema_version": 1}', "\udcff"])
def test_a_damaged_manifest(copy, text):
    (copy / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    assert "is damaged; run the command that made it again" in error_of(copy)


def test_a_number_that_has_changed_in_a_manifest(copy):
    text = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(text.replace('"mass_slope": -0.9', '"mass_slope": -0.8'))
    assert "is damaged; run the command that made it again" in error_of(copy)


def test_a_manifest_of_another_version(copy):
    change_manifest(copy, schema_version=99)
    assert "version 99, this program reads 1; make the data set again" in error_of(copy)


@pytest.mark.parametrize("entries", [[{"file": SHARD}], ["a"], 3])
def test_a_manifest_that_lists_no_shards(copy, entries):
    change_manifest(copy, shards=entries)
    assert "is damaged; run the command that made it again" in error_of(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"label_names": "abc"}, {"label_names": []}, {"label_names": ["a", "a"]},
        {"label_names": [1]}, {"config": []}, {"complete": "yes"}, {"n": "many"},
        {"shards": [{"file": SHARD, "n": 32, "sha256": ""}] * 2},
        {"shards": [{"file": SHARD, "n": -1, "sha256": ""}]},
        {"shards": [{"file": SHARD, "n": 1.5, "sha256": ""}]},
        {"shards": [{"file": [SHARD], "n": 32, "sha256": ""}]},
        {"shards": [{"file": SHARD, "n": 32, "sha256": 7}]},
        {"shards": {"a": 1}},
    ],
)  # fmt: skip
def test_entries_of_another_kind_in_a_manifest(copy, changes):
    change_manifest(copy, **changes)
    assert "is damaged; run the command that made it again" in error_of(copy)


@pytest.mark.parametrize("name", ["../mine.h5", "/etc/passwd", "a/../../mine.h5", ".", "", "\0"])
def test_a_manifest_that_names_a_file_outside_of_its_folder(copy, name):
    shutil.copy(copy / SHARD, copy.parent / "mine.h5")
    change_manifest(copy, shards=[{"file": name, "n": 32, "sha256": ""}])
    assert "names a file that is not inside of it" in error_of(copy)


def test_a_shard_that_is_a_link_out_of_its_folder(copy):
    shutil.move(copy / SHARD, copy.parent / "mine.h5")
    (copy / SHARD).symlink_to(copy.parent / "mine.h5")
    assert "names a file that is not inside of it" in error_of(copy)


def test_a_manifest_that_is_too_large_is_not_read(copy, monkeypatch):
    monkeypatch.setattr(shards, "_LARGEST_MANIFEST", 1000)
    assert "is larger than 1 kB; it is not a manifest of this program" in error_of(copy)


def test_a_data_set_larger_than_memory_is_refused_with_the_numbers(copy, monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda: 2_000_000)
    assert "the 96 images of" in (message := error_of(copy))
    assert "of memory, 2 MB are free; make a smaller data set" in message


def test_a_shard_that_another_program_holds_open_is_read(copy):
    with (copy / SHARD).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(read(copy)) == 96


def test_images_of_another_byte_order_are_read(copy):
    swapped = replaced("image", lambda image: image.astype(">f4"))
    before = read(copy).image
    swapped(copy)
    assert read(copy).image.dtype == np.float32
    assert np.array_equal(read(copy).image, before)


def test_a_file_that_another_program_writes_to_is_not_called_damaged(copy):
    entry = json.loads((copy / MANIFEST).read_text())["shards"][1]
    assert is_shard_intact(copy, entry)
    truncated(copy)
    assert not is_shard_intact(copy, entry)
    with (copy / SHARD).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="held open by another program"):
            is_shard_intact(copy, entry)
        assert "held open by another program" in error_of(copy)


@pytest.mark.parametrize("changes", [{"complete": False}, {"shards": []}])
def test_an_unfinished_data_set(copy, changes):
    change_manifest(copy, **changes)
    assert "is not finished; run the command that made it again" in error_of(copy)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / SHARD).unlink(), "is missing"),
        (lambda folder: (folder / SHARD).write_bytes(b""), "is empty"),
        (truncated, "truncated or not a shard"),
        (foreign, "truncated or not a shard"),
        (lambda folder: (folder / SHARD).write_bytes(b"\x93NUMPY" * 99), "truncated or not a"),
        (without("image"), "truncated or not a shard"),
        (without("label"), "truncated or not a shard"),
        (without("params"), "truncated or not a shard"),
        (replaced("image", lambda image: image[:-1]), "wrong shape"),
        (replaced("image", lambda image: image[:, 0]), "wrong shape"),
        (replaced("label", lambda label: label[:5]), "wrong shape"),
        (replaced("label", lambda label: label[0]), "wrong shape"),
        (replaced("params/theta_E", lambda values: values[1:]), "wrong shape"),
        (replaced("image", lambda image: image.astype("f8")), "'image': float64, not float32"),
        (replaced("image", lambda image: image.astype("f2")), "'image': float16, not float32"),
        (replaced("image", lambda image: image.astype("i4")), "'image': int32, not float32"),
        (replaced("image", lambda image: image[:, :, :0]), "wrong shape"),
        (replaced("label", lambda label: label * 1.0), "'label': float64, not int64"),
        (replaced("label", lambda label: label + 99), "labels that are not those of its 3 classes"),
        (replaced("label", lambda label: label - 1), "labels that are not those of its 3 classes"),
        (replaced("params/theta_E", lambda v: v.astype("S3")), "'params/theta_E': bytes24, not fl"),
        (replaced("params/theta_E", lambda v: v * np.inf), "infinite values in 'theta_E'"),
        (with_attribute("model", None), "no attribute 'model'"),
        (with_attribute("unit", None), "no attribute 'unit'"),
        (with_attribute("pixel_scale", "abc"), "'pixel_scale' that is no such number"),
        (with_attribute("pixel_scale", np.nan), "'pixel_scale' that is no such number"),
        (with_attribute("pixel_scale", -0.1), "'pixel_scale' that is no such number"),
        (with_attribute("psf_fwhm", [0.1, 0.2]), "'psf_fwhm' that is no such number"),
        (with_attribute("label_names", 3), "'label_names' that is no list of names"),
        (with_attribute("label_names", ["a", "b", "c"]), "other classes than manifest.json"),
        (with_attribute("unit", 3.0), "'unit' that is no text"),
        (with_attribute("model", 2.5), "'model' that is no number"),
        (with_attribute("mine", 1j), "'mine' of an unknown kind"),
        (with_attribute("mine\x1b[2J", 1j), "'mine\\x1b[2J' of an unknown kind"),
        (lambda folder: linked(folder, h5py.SoftLink("/label")), "truncated or not a shard"),
        (lambda folder: linked(folder, h5py.ExternalLink("x.h5", "image")), "truncated or not"),
        (lambda folder: declared(folder, (32, 1, 64, 64)), "'/image' that was never written"),
        (
            lambda folder: declared(folder, (10**7, 1, 64, 64)),
            "declares arrays of 164 GB in a file",
        ),
        (other_pixels, "not a shard of this data set"),
        (without("params/theta_E"), "not a shard of this data set"),
        (replaced("image", with_pixel(np.nan)), "1 images in 'image' with NaN"),
        (replaced("image", with_pixel(np.inf)), "1 images in 'image' with NaN or infinite"),
    ],
)
def test_a_damaged_shard_is_named_with_what_to_do(copy, damage, message):
    damage(copy)
    error = error_of(copy)
    assert message in error
    assert str(copy / SHARD) in error
    assert "run the command that made it again to repair the data set" in error


def test_a_damaged_low_resolution_image_is_found(configure, tmp_path):
    out, _ = simulate(configure(2, n=3, pairs=2, out=tmp_path / "data"))
    with h5py.File(out / "shard-00000.h5", "r+") as file:
        file["image_lr"][1, 0, 2, 2] = np.nan
    assert "1 images in 'image_lr' with NaN" in error_of(out)


def test_a_shard_without_the_low_resolution_of_the_others(configure, tmp_path):
    out, _ = simulate(configure(2, n=6, shard_size=3, pairs=2, out=tmp_path / "data"))
    without("image_lr")(out)
    assert f"{out / SHARD} is not a shard of this data set" in error_of(out)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def die():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        die()
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_shard_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_shard(tmp_path / SHARD, {"image": np.ones(3), "label": object()}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_the_digest_is_that_of_the_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == digest
