"""The FITS file of a lens, read by astropy."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from learn.modelling.maps.maps import make_maps
from learn.modelling.maps.maps_file import write_maps
from learn.modelling.tables.rows import make_row
from tests.learn.modelling.lenses import SCALE, SHAPE, make_wcs, modelled

PLANES = ["IMAGE", "MODEL", "RESIDUAL", "LENS_LIGHT", "SOURCE_LENSED", "SOURCE_PLANE", "SNR"]


@pytest.fixture
def written(tmp_path):
    def write(flags=(), **options):
        model = modelled(flags, **options)
        path = tmp_path / "lens.fits"
        maps = make_maps(model)
        write_maps(path, maps, make_row(model), model.data.wcs, SCALE)
        with fits.open(path) as file:
            file.verify("exception")
            planes = {hdu.name: (hdu.data, hdu.header) for hdu in file}
        return model, maps, planes

    return write


def test_every_map_is_an_extension_with_its_unit(written):
    _, maps, planes = written()
    assert list(planes) == ["PRIMARY", *PLANES, "LEAST_MASS", "NOISE"]
    for name, values in (
        ("IMAGE", maps.image),
        ("MODEL", maps.model),
        ("RESIDUAL", maps.residual),
        ("LENS_LIGHT", maps.lens_light),
        ("SOURCE_LENSED", maps.lensed_source),
        ("SOURCE_PLANE", maps.source.brightness),
        ("NOISE", maps.noise),
    ):
        data, _ = planes[name]
        assert data.dtype.newbyteorder("=") == np.float32
        assert np.allclose(data, values, rtol=1e-6, equal_nan=True), name
    units = {name: header.get("BUNIT") for name, (_, header) in planes.items()}
    assert units["IMAGE"] == units["MODEL"] == units["NOISE"] == "adu"
    assert units["SOURCE_PLANE"] == "adu / arcsec2"
    assert units["LEAST_MASS"] == "solMass"
    assert units["RESIDUAL"] is units["SNR"] is None
    assert np.isnan(planes["SNR"][0][:5, :7]).all()
    assert planes["SNR"][0][10, 20] == 20.0


def test_every_map_lies_where_the_image_does(written):
    wcs = make_wcs(angle=25.0)
    _, _, planes = written(wcs=wcs)
    for name in set(planes) - {"PRIMARY", "SOURCE_PLANE"}:
        header = planes[name][1]
        assert header["PIXSCALE"] == SCALE
        for column, row in ((0.0, 0.0), (SHAPE[1] - 1.0, 3.0)):
            here, there = (w.pixel_to_world(column, row) for w in (WCS(header), wcs))
            assert here.separation(there).arcsec < 1e-6, name
        offset = WCS(header, key="L").wcs_pix2world([[0.0, 0.0]], 0)[0]
        edges = [-SCALE * (n - 1) / 2 for n in SHAPE[::-1]]
        assert offset == pytest.approx(edges)


def test_the_source_plane_has_coordinates_of_its_own(written):
    _, maps, planes = written()
    data, header = planes["SOURCE_PLANE"]
    row, column = np.unravel_index(data.argmax(), data.shape)
    place = WCS(header).wcs_pix2world([[column, row]], 0)[0]
    assert place == pytest.approx((0.1, 0.05), abs=0.02)
    assert header["CTYPE1"] == "BETA_X"
    assert header["PIXSCALE"] == pytest.approx(maps.source.pixel_scale)


def test_without_a_wcs_the_coordinates_are_arcsec_from_the_middle(written):
    _, _, planes = written(wcs=None)
    place = WCS(planes["MODEL"][1]).wcs_pix2world([[0.0, 0.0]], 0)[0]
    assert place == pytest.approx([-SCALE * (n - 1) / 2 for n in SHAPE[::-1]])


def test_the_first_header_tells_the_lens_apart(written):
    model, _, planes = written(("neighbour", "poor fit: χ² is high"), name="Jörg's lens")
    header = planes["PRIMARY"][1]
    assert header["OBJECT"] == r"J\xf6rg's lens"
    assert header["THETA_E"] == pytest.approx(float(model.result.params["theta_E"][0]))
    assert header["THETAERR"] == pytest.approx(float(model.result.errors["theta_E"][0]))
    assert (header["CONVERGD"], header["Z_LENS"]) == (True, 0.3)
    history = "\n".join(header["HISTORY"])
    assert "flag: neighbour" in history
    assert r"poor fit: \u03c7\xb2 is high" in history
    assert "image.fits: extension 1, SCI" in history


def test_what_was_not_searched_has_no_extension(written):
    _, _, planes = written(searched=False)
    assert not {"SNR", "LEAST_MASS"} & planes.keys()


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = modelled()
    row, maps = make_row(model), make_maps(model)
    for name in ("a.fits", "b.fits"):
        write_maps(tmp_path / name, maps, row, model.data.wcs, SCALE)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
