"""The folder of models: what it may replace, and what a model depends on."""

import dataclasses

import pytest

from learn.modelling.output.output_files import (
    MANIFEST,
    check_folder,
    choose_out,
    find_origin,
    is_output,
    read_manifest,
    write_manifest,
)
from learn.modelling.reading.lens_files import Given, find_lenses
from lensphys.ground.errors import InputError
from tests.learn.modelling.make_lenses import settings, slacs


@pytest.fixture
def lens(tmp_path):
    (found,) = find_lenses([slacs(tmp_path / "J1")], Given())
    return found


def test_the_default_is_a_folder_of_its_own():
    assert str(choose_out(settings())) == "models"
    assert str(choose_out(settings(out="a/b"))) == "a/b"


def test_settings_are_noted_and_compared(tmp_path, lens):
    out = tmp_path / "models"
    out.mkdir()
    check_folder(out, settings(), [lens], overwrite=False)  # an empty one is as good as none
    assert read_manifest(out) is None
    assert not is_output(out)
    write_manifest(out, settings())
    assert is_output(out)
    assert read_manifest(out) == settings().identity()
    check_folder(out, settings(device="cpu"), [lens], overwrite=False)
    with pytest.raises(InputError, match="holds models with source_order = null, not 6; choose"):
        check_folder(out, settings(source_order=6), [lens], overwrite=False)
    check_folder(out, settings(source_order=6), [lens], overwrite=True)


@pytest.mark.parametrize("content", ["", "[]", '{"creator": "other"}', '{"settings": {}}'])
def test_a_manifest_of_another_program_is_refused(tmp_path, lens, content):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=r"models.json is damaged or of another program"):
        check_folder(tmp_path / "models", settings(), [lens], overwrite=False)


def test_files_of_others_and_inputs_are_not_written_beside(tmp_path, lens):
    with pytest.raises(InputError, match=r"holds .*image.fits, an input; choose another --out"):
        check_folder(tmp_path, settings(), [lens], overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "J1")
    with pytest.raises(InputError, match="an input"):
        check_folder(tmp_path / "link", settings(), [lens], overwrite=True)
    (tmp_path / "file").write_text("words")
    with pytest.raises(InputError, match="is a file; name a folder"):
        check_folder(tmp_path / "file", settings(), [lens], overwrite=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("words")
    with pytest.raises(InputError, match="holds other files; choose another folder"):
        check_folder(tmp_path / "full", settings(), [lens], overwrite=False)


def test_the_origin_changes_with_all_that_a_model_depends_on(tmp_path, lens):
    first = find_origin(lens, settings())["digest"]
    assert first == find_origin(lens, settings(out="elsewhere"))["digest"]
    others = [
        find_origin(lens, settings(seed=1)),
        find_origin(dataclasses.replace(lens, pixel_scale=0.05), settings()),
        find_origin(dataclasses.replace(lens, image=tmp_path / "J1" / "image.fits[0]"), settings()),
    ]
    (tmp_path / "J1" / "psf.fits").unlink()
    others.append(find_origin(lens, settings()))
    digests = {first, *(origin["digest"] for origin in others)}
    assert len(digests) == 5
