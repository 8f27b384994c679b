"""Numbers and a picture of lens fits."""

import json
from pathlib import Path

from learn.lens_fits.report import PICTURE, REPORT, measure_fits, write_fit_report
from learn.lens_fits.store import fit_data_set
from simulate.shards import DataSet
from tests.learn.conftest import WHOLE_FIT


def test_the_einstein_radius_is_found_within_its_errors(smooth: DataSet) -> None:
    metrics = measure_fits(smooth, fit_data_set(smooth, WHOLE_FIT))
    assert metrics["theta_E_error"] < 0.005
    assert 0.3 < metrics["theta_E_pull"] < 1.2, "0.67 for exact errors"


def test_the_report_measures_and_shows_the_fits(smooth: DataSet, tmp_path: Path) -> None:
    write_fit_report(smooth, fit_data_set(smooth, WHOLE_FIT), tmp_path)
    metrics = json.loads((tmp_path / REPORT).read_text())
    assert metrics["images"] == 24
    chi2 = metrics["chi2_dof"]
    assert chi2["q05"] <= chi2["median"] <= chi2["q95"]
    assert (tmp_path / PICTURE).stat().st_size > 10_000
