"""Calls of loops: on threads, with masked members."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lensphys as lp
from tests.lensphys.kernels.loops import SIE, members


def test_masked_members_may_hold_anything():
    x, y = lp.pixel_grid(8, 0.1)
    named = {key: value[0, :3].clone() for key, value in members("TNFW", torch.float32).items()}
    profile = lp.TNFW(**named)
    named["Rs"][1] = math.nan
    found = lp.Population(profile, mask=torch.tensor([True, False, True])).deflection(x, y)
    expected = lp.Population(lp.TNFW(**{k: v[[0, 2]] for k, v in named.items()})).deflection(x, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_threads_change_no_bit():
    x, y = lp.pixel_grid(64, 0.08)
    sie = lp.SIE(**{key: value.float() for key, value in SIE.items()})
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = torch.stack(sie.deflection(x, y))
        torch.set_num_threads(3)
        several = torch.stack(sie.deflection(x, y))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, several)


WITHOUT = """
import warnings
import torch, lensphys as lp
x, y = lp.pixel_grid(5, 0.3, dtype=torch.float64)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    found = lp.SIE(theta_E=1.0, e1=0.1).deflection(x, y)[0][1, 2].item()
    lp.GaussianPSF(0.1, 0.3).convolve(x)
print(found)
print([str(w.message) for w in told])
"""


def test_without_numba_the_formulas_run_in_torch_and_say_so(tmp_path):
    broken = tmp_path / "numba"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')")
    root = Path(lp.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found, told = done.stdout.splitlines()
    x, y = lp.pixel_grid(5, 0.3, dtype=torch.float64)
    expected = lp.SIE(theta_E=1.0, e1=0.1).deflection(x, y)[0][1, 2].item()
    assert float(found) == pytest.approx(expected, rel=1e-12)
    assert told.count("numba cannot be imported (Numba needs NumPy 1.0 or less)") == 1


def test_a_population_takes_a_grid_of_each_image(by_torch):
    masses = lp.PointMass(theta_E=torch.rand(3, 5), center_x=torch.rand(3, 5), center_y=0.1)
    x, y = (v + torch.arange(3.0)[:, None, None] for v in lp.pixel_grid((4, 6), 0.3))
    population = lp.Population(masses)
    found, expected = population.deflection(x, y), by_torch(lambda: population.deflection(x, y))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
