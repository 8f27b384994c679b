"""Catalogues of images."""

from pathlib import Path

import numpy as np
import pytest

from lensphys.ground.errors import InputError
from simulate import shards
from simulate.importers.catalogue import read_catalogue
from simulate.importers.run import import_images
from tests.simulate.importers.make_files import image, options, save


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Six images of two classes, in a folder beside the catalogue and in one elsewhere."""
    lines = ["id_str,file_loc,label,split,smooth_fraction"]
    for i in range(6):
        folder = tmp_path / ("images" if i < 4 else "elsewhere")
        save(folder / f"{i}.npy", image() + i)
        path = f"images/{i}.npy" if i < 4 else str(folder / f"{i}.npy")
        part = ("train", "train", "valid", "test", "train", "train")[i]
        lines.append(f'{i},"{path}",{"lens" if i % 2 else "other"},{part},0.{i}')
    path = tmp_path / "catalogue.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_catalogue_is_imported_with_its_classes_and_parts(
    catalogue: Path, tmp_path: Path
) -> None:
    out, made = import_images(catalogue, options(out=tmp_path / "out"))
    assert made
    data = shards.read(out)
    assert data.label_names == ["lens", "other"]
    order = [1, 0, 3, 2, 5, 4]
    assert data.label.tolist() == [i % 2 == 0 for i in order]
    first = np.array([data.image[k, 0] - data.image[0, 0] for k in range(6)]).mean((1, 2))
    np.testing.assert_allclose(first, np.array(order) - 1.0, atol=0.1)
    assert list(data.attrs["split_names"]) == ["train", "val", "test"]
    assert data.params["split"].tolist() == [0, 0, 2, 1, 0, 0]
    assert import_images(catalogue, options(out=tmp_path / "out")) == (out, False)
    catalogue.write_text(catalogue.read_text().replace("valid", "test"))
    with pytest.raises(InputError):
        import_images(catalogue, options(out=tmp_path / "out"))


def test_some_classes_are_chosen_and_ordered(catalogue: Path, tmp_path: Path) -> None:
    source = read_catalogue(catalogue, ("other", "lens"))
    assert source.label_names == ("other", "lens")
    alone = read_catalogue(catalogue, ("other",))
    assert [entry.name for entry in alone.entries][:2] == ["images/0.npy", "images/2.npy"]
    text = catalogue.read_text().replace(",lens,", ",10.5,").replace(",other,", ",-9,")
    catalogue.write_text(text)
    assert read_catalogue(catalogue).label_names == ("-9", "10.5")


def test_paths_alone_are_images_without_labels(catalogue: Path) -> None:
    catalogue.write_text("\ufeffpath\nimages/0.npy\nimages/1.npy\n", encoding="utf-8")
    source = read_catalogue(catalogue)
    assert (source.label_names, source.split_names) == (("unlabelled",), ())
    assert [entry.split for entry in source.entries] == [-1, -1]


def test_files_that_are_not_there_are_named_and_left_out(catalogue: Path, tmp_path: Path) -> None:
    with catalogue.open("a") as file:
        file.write("7,images/7.npy,lens,train,0.1\n")
    lines: list[str] = []
    out, _ = import_images(catalogue, options(out=tmp_path / "out"), warn=lines.append)
    assert len(shards.read(out)) == 6
    assert any("images/7.npy" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        (
            "id,label\n1,lens\n",
            None,
            "no column file_loc, file, .* or image .* are id, label",
        ),
        ("file\n", None, "lists no images"),
        ("file,label\na.npy\n", None, "line 2: it has another number of columns"),
        ("file,label\na.png,lens\n", None, "line 2: 'a.png' is no .npy or FITS file"),
        ("file,label\na.npy,\n", None, "has images without a label; choose the others"),
        ("file,label\na.npy,x\n", ("y",), "has no label 'y'; there are x"),
        ("file\na.npy\n", ("y",), "has no column label or class"),
        ("file,split\na.npy,dev\n", None, "split is train, val, test, not 'dev'"),
        ("file\na.npy\nb.fits\n", None, "lists .npy and FITS files"),
        ("file,split\na.npy,train\n\n./a.npy,test\n", None, "lines 2 and 4: both are ./a.npy"),
        ('file\n"a.npy\n', None, "is no CSV file"),
    ],
)
def test_what_is_no_catalogue_is_refused(
    tmp_path: Path, text: str, names: tuple[str, ...] | None, message: str
) -> None:
    path = tmp_path / "catalogue.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_catalogue(path, names)
