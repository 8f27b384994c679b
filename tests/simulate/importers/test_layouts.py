"""Folders of images are recognised, and their classes ordered."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from simulate.dataset.summary import summarize
from tests.simulate.importers.make_files import (
    coarse,
    image,
    refusal,
    save,
    save_fits,
    wcs_header,
)


def test_deeplensesim_folders_become_labels_in_the_order_of_the_project(deeplensesim, importing):
    data = importing(deeplensesim)
    assert data.label_names == ["no_sub", "cdm", "axion"]
    assert data.label.tolist() == [0, 1, 2] * 3
    assert (data.image.shape, data.image.dtype) == ((9, 1, 8, 8), np.float32)
    for i, (name, label) in enumerate((n, k) for n in range(3) for k in data.label_names):
        stored = np.load(deeplensesim / label / f"{label}_sim_{name}.npy", allow_pickle=True)
        pixels = stored[0] if label == "axion" else stored
        assert np.array_equal(data.image[i, 0], pixels.astype(np.float32))
    assert importing.manifest["counts"] == {"no_sub": 3, "cdm": 3, "axion": 3}
    assert importing.manifest["skipped"] == {"n": 0, "names": []}


def test_classes_take_turns_until_one_ends(deeplensesim, importing):
    save(deeplensesim / "cdm" / "more1.npy", image())
    save(deeplensesim / "cdm" / "more2.npy", image())
    assert importing(deeplensesim).label.tolist() == [0, 1, 2] * 3 + [1, 1]


def test_a_class_that_is_not_there_is_no_label(deeplensesim, importing):
    shutil.rmtree(deeplensesim / "cdm")
    assert importing(deeplensesim).label_names == ["no_sub", "axion"]


def test_an_empty_class_is_refused(deeplensesim, tmp_path):
    for path in (deeplensesim / "cdm").iterdir():
        path.unlink()
    assert "has no .npy or FITS files in cdm" in refusal(deeplensesim, tmp_path / "out")


def test_files_of_a_mac_and_other_files_are_passed_over(deeplensesim, importing):
    (deeplensesim / "cdm" / "._cdm_sim_0.npy").write_bytes(b"Mac OS X")
    (deeplensesim / "cdm" / "notes.txt").write_text("notes")
    (deeplensesim / "__MACOSX").mkdir()
    assert len(importing(deeplensesim)) == 9
    assert importing.lines == []


def test_the_published_split_is_a_column(deeplense_tests, importing):
    data = importing(deeplense_tests)
    assert data.label_names == ["no", "sphere", "vort"]
    assert data.image.shape == (12, 1, 12, 12)
    assert data.attrs["split_names"] == ["train", "val"]
    assert data.params["split"].tolist() == [0] * 9 + [1] * 3
    assert data.label.tolist() == [0, 1, 2] * 4
    assert summarize(data.path).parts == {"train": 9, "val": 3}


@pytest.mark.parametrize(("name", "part"), [("validation", "val"), ("Test", "test")])
def test_a_part_of_another_name_is_not_left_out_without_a_word(
    name, part, deeplense_tests, tmp_path
):
    (deeplense_tests / "val").rename(deeplense_tests / name)
    line = refusal(deeplense_tests, tmp_path / "out")
    assert f"{name}/, which seems to be a part of a published split; rename it to {part}/" in line


def test_one_part_alone_is_a_data_set_without_split(deeplense_tests, importing):
    data = importing(deeplense_tests / "val")
    assert len(data) == 3
    assert "split" not in data.params


def test_class_folders_of_other_names_are_imported_by_name(tmp_path, importing):
    for name in ("lenses", "nonlenses", "rest"):
        save(tmp_path / "set" / name / "1.npy", image())
    data = importing(tmp_path / "set", label_names=["nonlenses", "lenses"])
    assert data.label_names == ["nonlenses", "lenses"]
    assert len(data) == 2
    assert importing.lines == ["left out rest/ (1 image): --label-names does not name it"]
    assert importing.manifest["left_out"] == {"rest": 1}


def test_a_name_without_a_folder_is_refused(tmp_path):
    for name in ("lenses", "nonlenses"):
        save(tmp_path / "set" / name / "1.npy", image())
    save_fits(tmp_path / "cut" / "1.fits")
    message = refusal(tmp_path / "set", tmp_path / "out", label_names=["lenses", "non_lenses"])
    assert "--label-names: there is no folder 'non_lenses' in" in message
    assert message.endswith("its folders are lenses, nonlenses")
    message = refusal(tmp_path / "cut", tmp_path / "out", label_names=["lenses"])
    assert message.endswith("it has no folders")


def test_folders_beside_a_layout_are_named(deeplense_tests, importing):
    for name, n in (("train/rest", 2), ("more", 1), ("no", 1), ("train/notes", 0)):
        (deeplense_tests / name).mkdir()
        for i in range(n):
            save(deeplense_tests / name / f"{i}.npy", image(12))
    (deeplense_tests / "no" / "0.npy").rename(deeplense_tests / "more" / "1.npy")
    assert len(importing(deeplense_tests)) == 12
    assert importing.manifest["left_out"] == {"more": 2, "train/rest": 2}
    assert importing.lines == [
        f"left out {name}/ (2 images): it is not part of the layout deeplense-tests"
        for name in ("more", "train/rest")
    ]


def test_a_class_may_be_in_one_part_alone(tmp_path, importing):
    for name in ("train/a", "val/b"):
        save(tmp_path / "set" / name / "1.npy", image())
    data = importing(tmp_path / "set", label_names=["a", "b"])
    assert (data.label.tolist(), data.params["split"].tolist()) == ([0, 1], [0, 1])


def test_pairs_go_together_by_name(pairs, importing):
    data = importing(pairs)
    assert (data.image.shape, data.image_lr.shape) == ((20, 1, 12, 12), (20, 1, 6, 6))
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)
    assert data.attrs["pixel_scale_lr"] == 2 * data.attrs["pixel_scale"]
    assert data.label_names == ["unlabelled"]
    assert data.config["pairs"] == 2


def test_pairs_may_name_their_resolution(pairs, importing):
    for path in [*pairs.glob("?R/*.npy")]:
        path.rename(path.with_name(f"{path.parent.name}_{path.name}"))
    data = importing(pairs)
    assert np.allclose(coarse(data.image), data.image_lr, atol=1e-6)


def test_one_cutout(tmp_path, importing):
    pixels = save_fits(tmp_path / "lens.fits")
    assert np.array_equal(importing(tmp_path / "lens.fits", pixel_scale=None).image[0, 0], pixels)


def test_folders_of_cutouts_are_classes(tmp_path, importing):
    for name in ("spiral", "lens"):
        save_fits(tmp_path / "cut" / name / "1.fits")
    assert importing(tmp_path / "cut", pixel_scale=None).label_names == ["lens", "spiral"]


def mixed_formats(folder):
    save(folder / "no" / "1.npy", image())
    save_fits(folder / "no" / "2.fits")


def mixed_layouts(folder):
    for name in ("no_sub", "no"):
        save(folder / name / "1.npy", image())


def beside_the_split(folder):
    for name in ("train/no", "no"):
        save(folder / name / "1.npy", image())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.mkdir(), "has none of the known layouts: known are no_sub/"),
        (lambda folder: save(folder / "HR" / "1.npy", image()), "has none of the known layouts"),
        (lambda folder: None, "there is no file or folder"),
        (lambda folder: folder.write_text("text"), "is neither an .npy nor a FITS file"),
        (mixed_formats, "mixes .npy and FITS files"),
        (mixed_layouts, "mixes layouts (deeplense-tests, deeplensesim)"),
        (beside_the_split, "mixes layouts (deeplense-tests, deeplense-tests beside train/)"),
    ],
)
def test_folders_that_are_no_data_sets(make, message, tmp_path):
    make(tmp_path / "set")
    assert message in refusal(tmp_path / "set", tmp_path / "out")


def one_lens(folder, prefix="", n=8):
    save_fits(folder / f"{prefix}image.fits", image(n))
    save_fits(folder / f"{prefix}noise.fits", image(n))
    save_fits(folder / f"{prefix}psf.fits", image(5))


def test_a_folder_for_each_lens_is_no_class(tmp_path, importing):
    for lens in ("a", "b", "c"):
        one_lens(tmp_path / "set" / lens)
    data = importing(tmp_path / "set", pixel_scale=None)
    assert data.label_names == ["unlabelled"]
    assert data.image.shape == (3, 1, 8, 8)
    assert (
        importing.lines[-1] == "each folder is one lens; --label-names a,b imports folders as "
        "classes"
    )
    names = importing(
        tmp_path / "set", pixel_scale=None, label_names=("a", "b"), out=tmp_path / "o"
    )
    assert names.label_names == ["a", "b"]


def test_classes_of_several_lenses_each_stay_classes(tmp_path, importing):
    for name in ("rings", "arcs"):
        for lens in "ab":
            one_lens(tmp_path / "set" / name, f"{lens}_")
    data = importing(tmp_path / "set", pixel_scale=None)
    assert data.label_names == ["arcs", "rings"]
    assert data.label.tolist() == [0, 1, 0, 1]


def test_folders_of_noise_maps_and_psfs_are_no_classes(tmp_path, importing):
    for name in ("data", "noise", "psf"):
        for lens in "ab":
            save_fits(tmp_path / "set" / name / f"{lens}.fits", image())
    assert importing(tmp_path / "set", pixel_scale=None).label_names == ["data"]
    assert [line.partition(" (")[0] for line in importing.lines] == [
        "left out noise/",
        "left out psf/",
    ]
    assert "is a folder of PSFs by its name" in refusal(tmp_path / "set" / "psf", tmp_path / "o")


def test_the_advice_on_a_file_that_is_no_image_of_the_sky_works(tmp_path, importing):
    one_lens(tmp_path / "set")
    for name in ("psf.fits", "noise.fits"):
        message = refusal(tmp_path / "set" / name, tmp_path / "none")
        advised = message.partition("no image of the sky; ")[2].partition(" takes")[0]
        assert importing(type(tmp_path)(advised), pixel_scale=None, out=tmp_path / name)


def test_images_in_npy_files_alone_are_unlabelled(tmp_path, importing):
    save(tmp_path / "set" / "1.npy", image())
    save(tmp_path / "set" / "2.npy", image())
    assert importing(tmp_path / "set").label_names == ["unlabelled"]
    one = importing(tmp_path / "set" / "2.npy", out=tmp_path / "one")
    assert np.array_equal(one.image[0, 0], np.load(tmp_path / "set" / "2.npy").astype(np.float32))


@pytest.mark.parametrize("name", ["a.h5", "a.txt", "a.png"])
def test_a_file_of_another_kind_is_refused_by_what_it_is(name, tmp_path):
    (tmp_path / name).write_bytes(b"content")
    assert "import takes" in refusal(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("name", ["a\x1b[2J", "é中", "x[bold]", "$x^{2$", "a\udcff"])
def test_classes_may_have_any_names(name, tmp_path, importing):
    for folder in (name, "other"):
        save_fits(tmp_path / "set" / folder / "1.fits")
        save_fits(tmp_path / "set" / folder / "2.fits")
    data = importing(tmp_path / "set", pixel_scale=None)
    assert len(data) == 4
    (shown,) = set(data.label_names) - {"other"}
    assert shown.isprintable()


def test_one_extension_is_taken_of_all_files(tmp_path, importing):
    for name in "ab":
        second = fits.ImageHDU(np.full((8, 8), 7.0), wcs_header(), name="NIR")
        save_fits(tmp_path / "set" / f"{name}.fits", None, None, second)
    assert (importing(tmp_path / "set", pixel_scale=None, hdu="NIR").image == 7).all()
    path = tmp_path / "set" / "a.fits[1]"
    assert (importing(path, pixel_scale=None, out=tmp_path / "one").image == 7).all()
    out = tmp_path / "none"
    assert "chooses another extension" in refusal(path, out, pixel_scale=None, hdu="SCI")
    save(tmp_path / "npy" / "1.npy", image())
    assert "only FITS files have extensions" in refusal(tmp_path / "npy", out, hdu=1)
