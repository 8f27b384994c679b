"""Functions that keep their results, and compilers that follow them."""

import logging
import warnings

import pytest
import torch

import lensphys as lp
from lensphys.remembering import remember


def test_results_are_kept_outside_of_graphs_and_computed_within():
    calls = []

    @remember(1)
    def double(number):
        """Twice a number."""
        calls.append(number)
        return 2 * number

    assert double(2) == double(2) == 4
    assert calls == [2]
    assert double.__doc__ == "Twice a number."

    @torch.compile(backend="eager", fullgraph=True)
    def scaled(x):
        return double(3) * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scaled(torch.tensor(2.0)) == 12.0


@pytest.mark.parametrize("fwhm", [0.1, 0.4])
def test_rendering_compiles_without_a_warning(fwhm, monkeypatch):
    torch.compiler.reset()

    def image(theta_E, x, y):
        lens = lp.ThinLens([lp.SIE(theta_E=theta_E, e1=0.1), lp.Shear(gamma1=0.05, gamma2=0.0)])
        source = lp.Sersic(amplitude=20.0, R_sersic=0.3, n_sersic=1.0)
        return lp.render(lens, source, x, y, psf=lp.GaussianPSF(fwhm=fwhm, pixel_scale=0.05))

    told = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: told.append(record.getMessage()))
    x, y = lp.pixel_grid(16, 0.05)
    theta_E = torch.tensor([0.3, 0.35])
    logging.getLogger("torch._dynamo").addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = torch.compile(image, backend="eager")(theta_E, x, y)
    finally:
        logging.getLogger("torch._dynamo").removeHandler(handler)
    assert told == []
    torch.testing.assert_close(found, image(theta_E, x, y), rtol=1e-5, atol=1e-5)
