"""Figure of an audit."""

import numpy as np

from learn.reporting.figures.audit import draw_sensitivity


def test_a_class_without_substructure_has_no_curve(tmp_path):
    truth = np.repeat([0, 1], 60)
    snr = np.where(truth == 0, 0.0, np.geomspace(1, 100, 120))
    probability = np.eye(2)[truth]
    path = tmp_path / "audit.png"
    draw_sensitivity(path, probability, truth, snr, ["no_sub", "cdm"])
    assert path.stat().st_size > 0
