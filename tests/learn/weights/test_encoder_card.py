"""The model card of an encoder."""

import json
import re
from pathlib import Path

import numpy as np


def test_the_card_tells_training_measures_and_limits(packed: Path, encoder_run: Path) -> None:
    card = (packed / "encoder/README.md").read_text()
    watched = json.loads((encoder_run / "encoder.json").read_text())["monitor"]
    for fact in (
        "| pretrained by | mae |",
        "| features of an image | 24 |",
        "| sees | images alone |",
        "| preset | published |",
        "| pixel scale | 0.101 arcsec |",
        "| unit of flux | 2 e-/s |",
        f"| accuracy of a linear probe | {watched['linear_probe']:.3f} |",
        "No label was used in its training",
    ):
        assert fact in card
    assert "simulated images of one kind only" in card


def test_the_lines_of_the_card_use_the_encoder(installed: Path) -> None:
    card = (installed / "encoder/README.md").read_text()
    found = re.search(r"```python\n(.*?)```", card, re.S)
    assert found
    names = {"images": np.random.default_rng(0).random((5, 64, 64), np.float32)}
    exec(found[1], names)
    assert names["features"].shape == (5, 24)
