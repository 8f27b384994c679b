"""Files of a lens: the row comes last, so that a lens that was cut short is made again."""

import pytest

from learn.modelling.output.outputs import write_failure, write_lens
from learn.modelling.tables.row_files import LENSES, is_complete, lens_file, read_rows
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled


def names(folder):
    return sorted(path.name for path in (folder / LENSES).iterdir())


def test_a_lens_leaves_three_files_and_its_origin(tmp_path):
    write_lens(modelled(("neighbour",)), tmp_path, origin={"digest": "abc"})
    assert names(tmp_path) == [f"J1234+5678.{ending}" for ending in ("fits", "json", "png")]
    (row,) = read_rows(tmp_path)
    assert is_complete(tmp_path, row)
    assert row.origin == {"digest": "abc"}
    assert row.flags == ["neighbour"]


@pytest.mark.parametrize("step", ["write_maps", "draw_lens", "write_row"])
def test_a_lens_that_is_cut_short_is_not_complete(tmp_path, monkeypatch, step):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"learn.modelling.output.outputs.{step}", stop)
    with pytest.raises(KeyboardInterrupt):
        write_lens(modelled(), tmp_path)
    assert read_rows(tmp_path) == []
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def test_a_lens_without_a_model_has_a_row(tmp_path):
    write_failure("a/b", "the noise is not positive", tmp_path, ra=1.0, origin={"digest": "x"})
    (row,) = read_rows(tmp_path)
    assert (row.name, row.reason) == ("a/b", "the noise is not positive")
    assert (row.values["ra"], row.values["dec"]) == (1.0, None)
    assert not is_complete(tmp_path, row)


def test_a_model_that_came_later_replaces_the_reason(tmp_path):
    write_failure("J1234+5678", "no PSF", tmp_path)
    write_lens(modelled(), tmp_path)
    (row,) = read_rows(tmp_path)
    assert row.reason == ""
    assert is_complete(tmp_path, row)


def test_files_of_others_stay(tmp_path):
    (tmp_path / LENSES).mkdir()
    lens_file(tmp_path, "J1234+5678", ".png").write_bytes(b"mine")
    for write in (
        lambda: write_lens(modelled(), tmp_path),
        lambda: write_failure("J1234+5678", "no PSF", tmp_path),
    ):
        with pytest.raises(InputError, match="is no file of a lens model"):
            write()
    assert names(tmp_path) == ["J1234+5678.png"]
