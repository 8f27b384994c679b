"""The files of lenses: images, folders, and what lies beside them."""

import pytest

from learn.modelling.output.output_files import MANIFEST
from learn.modelling.reading.lens_files import Given, find_lenses
from lensphys.ground.errors import InputError
from tests.learn.modelling.make_lenses import catalogue, euclid, image, kernel, slacs, write


def find(*paths, **given):
    return find_lenses(paths, Given(**given))


@pytest.mark.parametrize(
    "names",
    [("image", "noise", "psf"), ("data", "noise_map", "psf"), ("sci", "rms", "psf_kernel")],
)
def test_a_folder_with_image_noise_and_psf_is_one_lens_of_its_name(tmp_path, names):
    folder = slacs(tmp_path / "J0029-0055", names)
    (lens,) = find(folder)
    assert lens.name == "J0029-0055"
    assert [path.name for path in lens.paths] == [f"{name}.fits" for name in names]
    assert not lens.fault


def test_a_folder_of_such_folders_is_a_lens_each(tmp_path):
    for number in (2, 1):
        slacs(tmp_path / "lenses" / f"J{number}")
    (tmp_path / "lenses" / "notes.txt").write_text("of the observer")
    assert [lens.name for lens in find(tmp_path / "lenses")] == ["J1", "J2"]


def test_files_beside_an_image_bear_its_name(tmp_path):
    for name in ("a", "a_noise", "a_psf", "b", "b_rms", "b_dq", "psf"):
        write(tmp_path / f"{name}.fits", image())
    (tmp_path / "a_psf.fits").rename(tmp_path / "a.psf.fits")
    a, b = find(tmp_path)
    assert (a.name, b.name) == ("a", "b")
    assert (a.noise.name, b.noise.name, b.mask.name) == ("a_noise.fits", "b_rms.fits", "b_dq.fits")
    assert b.psf.name == "psf.fits"  # one for all, where there is none of its own
    assert a.mask is None


def test_one_image_is_named_and_its_folder_searched(tmp_path):
    slacs(tmp_path / "J1", ("data", "noise_map", "psf"))
    (lens,) = find(tmp_path / "J1" / "data.fits")
    assert (lens.name, lens.psf.name) == ("J1", "psf.fits")


def test_options_come_before_files_beside(tmp_path):
    slacs(tmp_path / "J1")
    other = write(tmp_path / "other.fits", kernel())
    (lens,) = find(tmp_path / "J1", psf=other)
    assert lens.psf == other
    assert lens.noise.name == "noise.fits"


def test_a_file_with_all_planes_is_a_lens_by_itself(tmp_path):
    euclid(tmp_path / "Q1" / "1234.fits")
    euclid(tmp_path / "Q1" / "5678.fits")
    lenses = find(tmp_path / "Q1")
    assert [(lens.name, lens.noise, lens.psf) for lens in lenses] == [
        ("1234", None, None),
        ("5678", None, None),
    ]


def test_a_wildcard_names_planes_too_which_are_no_lenses(tmp_path):
    paths = [write(tmp_path / f"{name}.fits", image()) for name in ("a", "a_psf", "a_rms", "b_wht")]
    a, b = find(*paths)
    assert (a.name, a.psf, a.noise) == ("a", paths[1], paths[2])
    assert b.fault.startswith("by its name it is a weight map, no image of the sky; ")
    (named,) = find(tmp_path / "b_wht.fits[0]")
    assert not named.fault


def test_an_extension_is_named_in_brackets(tmp_path):
    path = euclid(tmp_path / "1234.fits")
    (lens,) = find(path.with_name("1234.fits[NIR_Y_FLUX]"))
    assert (lens.name, lens.image.name) == ("1234", "1234.fits[NIR_Y_FLUX]")


def test_two_noise_maps_beside_one_image_are_a_fault_that_names_them(tmp_path):
    slacs(tmp_path / "J1")
    write(tmp_path / "J1" / "rms.fits", image())
    (lens,) = find(tmp_path / "J1")
    assert lens.fault == "noise.fits and rms.fits are noise maps of it; choose with --noise"


def test_images_of_one_name_bear_that_of_their_folders_too(tmp_path):
    paths = [
        slacs(tmp_path / name, ("J1", "J1_rms", "J1_psf")) / "J1.fits"
        for name in ("F814W", "F606W")
    ]
    assert [lens.name for lens in find(*paths)] == ["F814W_J1", "F606W_J1"]


def test_two_rows_of_one_name_are_refused(tmp_path):
    slacs(tmp_path / "J1")
    row = "same,J1/image.fits,J1/noise.fits,J1/psf.fits"
    cat = catalogue(tmp_path / "c.csv", [row, row.replace("psf.fits", "noise.fits")])
    with pytest.raises(InputError, match=r"c.csv, row 1 and c.csv, row 2 are both called 'same'"):
        find(cat)


def test_models_are_no_inputs(tmp_path):
    slacs(tmp_path / "lenses" / "J1")
    slacs(tmp_path / "lenses" / "models" / "J2")
    (tmp_path / "lenses" / "models" / MANIFEST).write_text("{}")
    assert [lens.name for lens in find(tmp_path / "lenses")] == ["J1"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.fits", "none.fits: there is no such file or folder"),
        ("empty", "there is no FITS image of the sky in this folder"),
        ("text.txt", "give FITS images, a folder of them, or a catalogue"),
    ],
)
def test_what_is_no_lens_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("words")
    with pytest.raises(InputError, match=message):
        find(tmp_path / name)


def test_an_option_names_a_file_that_is_there(tmp_path):
    slacs(tmp_path / "J1")
    with pytest.raises(InputError, match=r"--noise .*none.fits: there is no such file"):
        find(tmp_path / "J1", noise=tmp_path / "none.fits")
