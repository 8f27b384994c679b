"""Parameters of the profiles of one image."""

import torch

import lensphys as lp
from lensphys.export.profiles import read_profile


def test_one_image_of_a_batch_is_read_as_numbers():
    sie = lp.SIE(theta_E=torch.tensor([1.0, 1.5]), e1=0.25, e2=torch.tensor([0.0]))
    read = read_profile(sie, 1)
    assert read == {"theta_E": 1.5, "e1": 0.25, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}


def test_rows_of_amplitudes_are_those_of_the_image():
    amp = torch.arange(6).view(2, 3).double()
    light = lp.MultiGaussian(amp=amp, sigma=torch.tensor([0.125, 0.25, 0.5]).double())
    read = read_profile(light, 1)
    assert read["amp"].tolist() == [3.0, 4.0, 5.0]
    assert read["sigma"].tolist() == [0.125, 0.25, 0.5]
