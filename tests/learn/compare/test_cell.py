"""The configuration of a cell holds all that its result depends on."""

from pathlib import Path

import pytest

from learn.compare.cell import Cell
from learn.compare.plan import plan
from learn.compare.run_tier import compare
from learn.compare.selection import Selection
from lensphys.ground.errors import InputError
from tests.learn.compare.conftest import tier


def test_flags_follow_the_test_of_a_network_and_change_no_cell() -> None:
    """Cells of earlier versions, which had none, stay what they are."""
    for cell in plan(tier("smoke", "seeds=[0]")):
        assert "false_flags" not in cell.config["training"]


def test_the_configuration_of_a_cell_tells_what_its_encoder_is(measured: list[Cell]) -> None:
    blind = "encoder.lens_fit.residual: high-pass, encoder.lens_fit.detection: false"
    prior = f"ablations.methods.physics-ijepa:blind={{{blind}}}"
    config = tier("smoke", prior, "seeds=[0]")
    told = {
        c.method: c.config["pretraining"]["run"]["encoder"] for c in plan(config) if c.pretraining
    }
    assert told["physics-ijepa"]["lens_fit"]["residual"] == "fit"
    assert told["physics-ijepa:blind"]["lens_fit"]["residual"] == "high-pass"
    compare("smoke", config, Path("results"), Selection(("mae",)))
    deeper = tier("smoke", "pretrain.set.encoder.depth=2")
    with pytest.raises(InputError, match=r"pretraining\.run\.encoder\.depth = 1, not 2"):
        compare("smoke", deeper, Path("results"), Selection(("mae",)))
