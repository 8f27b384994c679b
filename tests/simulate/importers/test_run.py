"""Published images become a data set, resumable and described."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from learn.splits import split
from learn.tasks import task_class
from lensphys.ground.errors import InputError
from lensphys.ground.files import sha256
from simulate import shards
from simulate.dataset.photometry import Photometry
from simulate.importers import run
from simulate.importers.layouts import find_images
from simulate.importers.run import import_images
from simulate.importers.survey import survey
from tests.simulate.importers.make_files import (
    MASS,
    coarse,
    image,
    object_array,
    options,
    refusal,
    save,
    save_fits,
)


def test_axion_masses_are_columns(deeplensesim, importing):
    params = importing(deeplensesim).params
    masses = [np.nan, np.nan, MASS, np.nan, np.nan, 2 * MASS, np.nan, np.nan, 3 * MASS]
    assert np.array_equal(params["axion_mass"], masses, equal_nan=True)
    assert np.allclose(params["log10_axion_mass"], np.log10(masses), 1e-15, 0, equal_nan=True)


def test_a_crop_keeps_pairs_on_one_field(pairs, importing, tmp_path):
    data = importing(pairs, size=8)
    assert (data.image.shape, data.image_lr.shape) == ((20, 1, 8, 8), (20, 1, 4, 4))
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)
    odd = importing(pairs, size=6, out=tmp_path / "odd")
    assert np.allclose(coarse(odd.image), odd.image_lr, atol=1e-6)
    assert (
        "7 pixels cannot be divided by 2, the ratio of the two resolutions; give --size 6"
        in refusal(pairs, tmp_path / "o", size=7)
    )


def test_an_image_without_partner_is_left_out(pairs, importing):
    (pairs / "LR" / "sample3.npy").unlink()
    (pairs / "HR" / "sample5.npy").unlink()
    assert len(importing(pairs)) == 18
    assert [line.partition(":")[0] for line in importing.lines] == [
        "skipped HR/sample3.npy",
        "skipped LR/sample5.npy",
        "2 of 20 files skipped",
    ]


def test_a_data_set_serves_classification_and_super_resolution(tmp_path, pairs, importing):
    for name in ("no_sub", "cdm", "axion"):
        for i in range(10):
            save(tmp_path / "set" / name / f"{i}.npy", image())
    data = importing(tmp_path / "set")
    assert task_class("classify").inputs(data).shape == (30, 1, 8, 8)
    parts = split(
        data.label,
        data.label_names,
        validation_fraction=0.2,
        test_fraction=0.2,
        labels_per_class=3,
        seed=0,
    )
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [9, 6, 6]
    data = importing(pairs, out=tmp_path / "pairs")
    superres = task_class("superres")
    assert superres.inputs(data).shape == (20, 1, 6, 6)
    assert superres.data_needs.serves(data.config)


def test_the_picture_shows_every_class(real_preview, deeplensesim, tmp_path):
    folder, _ = import_images(deeplensesim, options(out=tmp_path / "out"))
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_classes_of_one_image_each_are_imported_without_a_word(real_preview, tmp_path, importing):
    bad = image()
    bad[0, 0] = np.nan
    for name, pixels in (("no", image()), ("vort", bad)):
        save(tmp_path / "set" / name / "1.npy", pixels)
    assert importing(tmp_path / "set").params["n_bad_pixels"].tolist() == [0, 1]


def test_counts_are_read_with_the_exposure_time_that_was_told(deeplensesim, importing, tmp_path):
    told = {"instrument": "euclid_vis", "unit": "counts"}
    data = importing(deeplensesim, **told)
    assert "exposure_time" not in data.params
    with pytest.raises(InputError, match="import them again with --exposure-time SECONDS"):
        Photometry.of(data)
    data = importing(deeplensesim, **told, exposure_time=500.0, out=tmp_path / "told")
    known = Photometry.of(data)
    assert known.rate.tolist() == [1 / 500] * 9
    assert known.exposure.tolist() == [500.0] * 9


@pytest.mark.parametrize(("fill", "value"), [("median", 5.0), ("zero", 0.0)])
def test_bad_pixels_are_filled_and_counted(fill, value, tmp_path, importing):
    pixels = np.full((8, 8), 5, np.float32)
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = np.nan, np.inf, 100
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 2] = 1
    save_fits(tmp_path / "cut" / "1.fits", pixels, None, fits.ImageHDU(mask, name="MASK"))
    data = importing(tmp_path / "cut", pixel_scale=None, fill=fill)
    assert data.params["n_bad_pixels"].tolist() == [3]
    assert data.image[0, 0, [0, 1, 2], [0, 1, 2]].tolist() == [value] * 3


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "truncated": (cut_short, "damaged or truncated"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("index,mass\n"), "it is not an .npy file"),
    "magic": (lambda path: path.write_bytes(b"\x93NUMPY"), "no plain array needs"),
    "header": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{"), "header is damaged"),
    "vector": (lambda path: save(path, np.ones(5)), "an array of 5, not one image"),
    "colours": (lambda path: save(path, np.ones((3, 8, 8))), "3 x 8 x 8, not one image"),
    "complex": (lambda path: save(path, np.ones((8, 8), complex)), "holds complex128, not numbers"),
    "dark": (lambda path: save(path, np.full((8, 8), np.nan)), "it has no good pixel"),
    "mass": (lambda path: save(path, object_array(image(), -1.0)), "its axion mass is -1 eV"),
    "members": (lambda path: save(path, object_array(image(), 1.0, 2.0)), "shape (3,), not ["),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_broken_file_among_many_is_skipped(damage, reason, deeplensesim, importing):
    path = deeplensesim / "cdm" / "cdm_sim_1.npy"
    damage(path)
    data = importing(deeplensesim)
    assert data.label.tolist() == [0, 1, 2, 0, 2, 0, 1, 2]
    (line,) = importing.lines
    assert line.startswith("skipped cdm/cdm_sim_1.npy: ")
    assert reason in line
    assert importing.manifest["skipped"] == {"n": 1, "names": ["cdm/cdm_sim_1.npy"]}
    assert importing.manifest["n"] == 8


def test_ten_broken_files_are_named_and_the_others_counted(tmp_path, importing):
    for i in range(20):
        path = save(tmp_path / "set" / "no" / f"{i:02d}.npy", image())
        if i % 4:
            path.write_bytes(b"x" * i)
    assert len(importing(tmp_path / "set")) == 5
    assert len(importing.lines) == 12
    assert importing.lines[-2:] == [
        "skipped 5 more files; manifest.json names all 15",
        "15 of 20 files skipped",
    ]
    assert importing.manifest["skipped"]["n"] == 15


def test_a_shard_of_broken_files_alone_is_empty(tmp_path, importing):
    for i in range(6):
        path = save(tmp_path / "set" / "no" / f"{i}.npy", image())
        if i < 2:
            cut_short(path)
    data = importing(tmp_path / "set", shard_size=2)
    assert [shard["n"] for shard in importing.manifest["shards"]] == [0, 2, 2]
    assert len(data) == 4


def test_nothing_but_broken_files(deeplensesim, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        path.write_bytes(b"")
    message = refusal(deeplensesim, tmp_path / "out")
    assert "none of the 9 images in" in message
    assert "can be read; no_sub/no_sub_sim_0.npy: it is empty" in message


def test_nothing_but_images_without_good_pixels(deeplensesim, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        save(path, np.full((8, 8), np.nan))
    assert "none of the 9 images in" in refusal(deeplensesim, tmp_path / "out")


def test_the_same_command_again_has_nothing_to_do(deeplensesim, tmp_path, contents):
    config = options(out=tmp_path / "out")
    out, made = import_images(deeplensesim, config)
    before = contents(out)
    assert made
    assert import_images(deeplensesim, config) == (out, False)
    assert contents(out) == before


def test_an_interrupted_import_goes_on_to_the_same_bytes(
    deeplensesim, tmp_path, contents, monkeypatch
):
    (deeplensesim / "cdm" / "cdm_sim_1.npy").write_bytes(b"")
    whole, _ = import_images(deeplensesim, options(out=tmp_path / "whole", shard_size=2))
    config = options(out=tmp_path / "part", shard_size=2)
    write, written = run.write_shard, []

    def die_in_the_third(path, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return write(path, *rest)

    monkeypatch.setattr(run, "write_shard", die_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        import_images(deeplensesim, config)
    with pytest.raises(InputError, match="is not finished"):
        shards.read(tmp_path / "part")
    monkeypatch.setattr(run, "write_shard", write)
    done = []

    def progress(total, already):
        done.append((total, already))
        return done.append

    part, made = import_images(deeplensesim, config, progress)
    assert made
    assert done == [(9, 4), 2, 2, 1]
    assert contents(part) == contents(whole)


def test_a_damaged_shard_is_made_again(deeplensesim, tmp_path, contents):
    config = options(out=tmp_path / "out", shard_size=4)
    out, _ = import_images(deeplensesim, config)
    before = contents(out)
    (out / "shard-00001.h5").write_bytes(b"damaged")
    assert import_images(deeplensesim, config) == (out, True)
    assert contents(out) == before


def test_a_damaged_manifest_is_told_how_to_be_mended(deeplensesim, tmp_path):
    config = options(out=tmp_path / "out")
    out, _ = import_images(deeplensesim, config)
    (out / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"is damaged; delete .*out and import again"):
        import_images(deeplensesim, config)


def test_another_source_or_option_is_refused(deeplensesim, deeplense_tests, tmp_path, contents):
    out, _ = import_images(deeplensesim, options(out=tmp_path / "out"))
    before = contents(out)
    with pytest.raises(InputError, match="holds a data set with source = Model, not dataset"):
        import_images(deeplense_tests, options(out=out))
    with pytest.raises(InputError, match=r"holds a data set with pixel_scale = 0\.05, not 0\.1"):
        import_images(deeplensesim, options(out=out, pixel_scale=0.1))
    save(deeplensesim / "cdm" / "new.npy", image())
    with pytest.raises(InputError, match=r"are not those that .* was made of"):
        import_images(deeplensesim, options(out=out))
    assert contents(out) == before


def test_a_folder_with_other_things_is_refused(deeplensesim, undisturbed):
    with pytest.raises(InputError, match="holds other files; choose an empty folder"):
        import_images(deeplensesim, options(out=deeplensesim))
    with pytest.raises(InputError, match="holds a data set that was simulated"):
        import_images(deeplensesim, options(out=undisturbed))


def test_shards_and_manifest_are_those_of_simulate(deeplensesim, tmp_path, undisturbed):
    out, _ = import_images(deeplensesim, options(out=tmp_path / "out", shard_size=4))
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        "preview.png",
        *(f"shard-0000{i}.h5" for i in range(3)),
    ]
    ours, theirs = (json.loads((d / "manifest.json").read_text()) for d in (out, undisturbed))
    assert theirs.keys() <= ours.keys()
    with h5py.File(out / "shard-00000.h5") as file, h5py.File(undisturbed / "shard-00000.h5") as of:
        assert file.keys() == of.keys()
        for name in ("image", "label"):
            assert file[name].dtype == of[name].dtype


def test_the_default_folder_bears_the_name_of_the_source(deeplensesim):
    assert run.default_out(deeplensesim, options()) == Path("data/imported/Model")
    assert run.default_out(Path("cut/a.fits.gz"), options()) == Path("data/imported/a")


def begun_by_a_stranger(source, out, **entry):
    """A folder with an unfinished import of a source, whose manifest lists one shard."""
    config = options()
    found = find_images(source)
    identity = run._identity(found, config, survey(found, config))
    shard = {"n": 0, "sha256": "", "skipped": []} | entry
    out.mkdir()
    shards.write_manifest(
        out,
        {
            "schema_version": 1,
            "complete": False,
            "n": len(found.entries),
            "seed": None,
            "label_names": list(found.label_names),
            "counts": {},
            "skipped": {"n": 0, "names": []},
            "left_out": {},
            "config": identity,
            "shards": [shard],
        },
    )


@pytest.mark.parametrize("place", ["../mine.txt", "{}/mine.txt", "link.h5", "inside.txt"])
def test_a_manifest_cannot_make_an_import_delete_other_files(place, deeplensesim, tmp_path):
    for path in deeplensesim.rglob("*.npy"):
        save(path, np.full((8, 8), np.nan))
    mine, out = tmp_path / "mine.txt", tmp_path / "out"
    mine.write_text("my thesis")
    name = place.format(tmp_path)
    begun_by_a_stranger(deeplensesim, out, file=name, sha256=sha256(mine))
    (out / "link.h5").symlink_to(mine)
    (out / "inside.txt").write_text("my thesis")
    with pytest.raises(InputError):
        import_images(deeplensesim, options(out=out))
    assert mine.read_text() == "my thesis"
    assert (out / "inside.txt").read_text() == "my thesis"


@pytest.mark.parametrize(
    "entry",
    [
        {"file": "shard-00000.h5", "n": 100},
        {"file": "shard-00000.h5", "n": 0, "skipped": ["../../mine.txt"] * 9},
        {"file": "shard-00000.h5", "n": 0, "skipped": "a" * 9},
        {"file": "shard-00007.h5", "n": 9},
    ],
)
def test_a_shard_that_this_import_does_not_make_is_refused(entry, deeplensesim, tmp_path):
    out = tmp_path / "out"
    begun_by_a_stranger(deeplensesim, out, **entry)
    with pytest.raises(InputError, match="lists a shard that this import does not make"):
        import_images(deeplensesim, options(out=out))


def test_a_stranger_s_shard_without_labels_is_refused(deeplensesim, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with h5py.File(out / "shard-00000.h5", "w") as file:
        file["label"] = np.full(9, -1)
    digest = sha256(out / "shard-00000.h5")
    (out / "shard-00000.h5").rename(tmp_path / "shard")
    out.rmdir()
    begun_by_a_stranger(deeplensesim, out, file="shard-00000.h5", n=9, sha256=digest)
    (tmp_path / "shard").rename(out / "shard-00000.h5")
    with pytest.raises(InputError, match="not a shard of this program; delete"):
        import_images(deeplensesim, options(out=out))


def test_more_images_than_the_disk_holds_are_refused_before_the_first(
    deeplensesim, tmp_path, monkeypatch
):
    full = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    assert "9 images need 2.3 kB of disk, 100 bytes are free" in refusal(
        deeplensesim, tmp_path / "out"
    )
