"""The device: chosen once, and without torch where there is no GPU."""

import subprocess
import sys

import pytest

from lensphys.ground import devices
from lensphys.ground.errors import InputError


@pytest.mark.parametrize(("there", "found"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_gpu_that_there_is(monkeypatch, there, found):
    monkeypatch.setattr(devices, "has_cuda", lambda: there)
    assert devices.choose_device("auto") == found
    assert devices.choose_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "has_cuda", lambda: False)
    with pytest.raises(InputError, match="there is no CUDA device here; use --device cpu"):
        devices.choose_device("cuda")


def test_torch_is_asked_where_it_is_imported(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.has_cuda()


def test_without_a_driver_torch_is_not_imported():
    code = """
import sys
from lensphys.ground import devices
devices._has_driver = lambda: False
assert devices.choose_device("auto") == "cpu"
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
