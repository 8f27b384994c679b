"""Draws from the posterior of a lens, in a table that other programs read."""

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Table

import lensphys as lp
from learn.modelling.output.draws_file import draws_file, write_draws
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled


@pytest.fixture(autouse=True)
def sampled(monkeypatch):
    """Draws that cost nothing: n numbers from 0 on for each parameter."""

    def sample(result, n, *, seed):
        params = {name: torch.arange(n)[:, None] + 1000.0 * seed for name in result.names}
        rhat = {name: torch.tensor([1 + 1e-3 * k]) for k, name in enumerate(params)}
        ess = {name: torch.tensor([50.0 + k]) for k, name in enumerate(params)}
        return lp.Draws(params, rhat, ess, torch.tensor([0.8]), torch.tensor([0.5]), 4)

    monkeypatch.setattr(lp, "sample", sample)


def test_each_draw_is_a_row_with_all_parameters_and_units(tmp_path):
    model = modelled(searched=False)
    write_draws(model, tmp_path, 40, seed=3)
    table = Table.read(draws_file(tmp_path, model.data.name))
    assert table.colnames == list(model.result.names)
    np.testing.assert_array_equal(table["theta_E"], 3000 + np.arange(40))
    assert str(table["theta_E"].unit) == "arcsec"
    assert table["e1"].unit is None


def test_the_header_tells_if_the_chains_agree(tmp_path):
    model = modelled(searched=False)
    write_draws(model, tmp_path, 40, seed=3)
    header = fits.getheader(draws_file(tmp_path, "J1234+5678"), 1)
    assert (header["SEED"], header["OBJECT"], header["ESS"]) == (3, "J1234+5678", 50)
    assert header["RHAT"] == pytest.approx(1 + 1e-3 * (len(model.result.names) - 1))


def test_only_a_file_of_the_command_is_replaced(tmp_path):
    model = modelled(searched=False)
    write_draws(model, tmp_path, 40, seed=3)
    write_draws(model, tmp_path, 20, seed=3)
    path = draws_file(tmp_path, "J1234+5678")
    assert len(Table.read(path)) == 20
    path.write_text("of someone else")
    with pytest.raises(InputError, match="is there already and is no table of draws"):
        write_draws(model, tmp_path, 40, seed=0)
