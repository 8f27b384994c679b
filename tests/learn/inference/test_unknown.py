"""Limits of networks."""

from pathlib import Path

import pytest

from learn import load_model
from learn.inference.unknown import list_unknown


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("classifier", "it chooses among no_sub, cdm, axion, as they were simulated"),
        ("regressor", "systematic errors"),
        ("superresolver", "detail that the PSF has erased"),
    ],
)
def test_every_network_names_what_it_cannot_know(
    run: str, words: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(run)
    always, of_task = list_unknown(load_model(folder))
    assert "a PSF that differs looks like substructure" in always
    assert words in of_task
