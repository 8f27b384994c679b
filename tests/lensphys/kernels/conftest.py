"""A fixture that leaves the compiled loops out."""

import pytest

from lensphys.kernels import launch


@pytest.fixture
def by_torch(monkeypatch):
    """Calls a function with the operations of torch alone."""

    def call(function):
        with monkeypatch.context() as patched:
            patched.setattr(launch, "is_possible", lambda *_: False)
            return function()

    return call
