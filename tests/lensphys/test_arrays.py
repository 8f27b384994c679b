"""Numbers and arrays of a caller: what is taken, what is copied, and what stays linked."""

import dataclasses

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked

import lensphys as lp
from lensphys.arrays import in_precision, read_numbers, take_map, take_numbers

VALUES = np.arange(6.0).reshape(2, 3) + 1


def read_only():
    array = VALUES.copy()
    array.flags.writeable = False
    return array


#: The same numbers in every way in which arrays come.
WAYS = {
    "big-endian": VALUES.astype(">f8"),
    "big-endian in single precision": VALUES.astype(">f4"),
    "big-endian whole numbers": VALUES.astype(">i2"),
    "unsigned": VALUES.astype(np.uint64),
    "negative strides": VALUES[:, ::-1].copy()[:, ::-1],
    "not contiguous": np.repeat(VALUES, 2, axis=1)[:, ::2],
    "columns first": np.asfortranarray(VALUES),
    "long double": VALUES.astype(np.longdouble),
    "half precision": VALUES.astype(np.float16),
    "read-only": read_only(),
    "a list": VALUES.tolist(),
    "nothing masked": np.ma.masked_array(VALUES),
    "nothing masked, of astropy": Masked(VALUES, mask=False),
    "without dimension": VALUES * u.dimensionless_unscaled,
    "a tensor in half precision": torch.from_numpy(VALUES).half(),
}


@pytest.mark.parametrize("given", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("take", [take_numbers, take_map, in_precision])
def test_arrays_of_every_kind_are_taken(take, given):
    found = take("image", given)
    assert found.dtype in (torch.float32, torch.float64)
    assert found.is_contiguous()
    assert torch.equal(found.double(), torch.from_numpy(VALUES))


def test_an_array_that_is_mapped_to_a_file_is_copied(tmp_path):
    fits.PrimaryHDU(VALUES).writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", memmap=True) as opened:
        found = take_map("image", opened[0].data)
    assert torch.equal(found, torch.from_numpy(VALUES))


REFUSED = {
    "masked": (np.ma.masked_greater(VALUES, 3), "have no masked values; replace them"),
    "masked column": (MaskedColumn([1.0, 2.0], mask=[0, 1]), "have no masked values"),
    "masked quantity": (Masked(VALUES, mask=VALUES > 3), "have no masked values"),
    "booleans": (VALUES > 3, "of real ones, got an array of bool"),
    "complex": (VALUES + 1j, "of real ones, got an array of complex128"),
    "objects": (VALUES.astype(object), "of real ones, got an array of object"),
    "words": (np.array(["a"]), "of real ones, got an array of <U1"),
    "records": (np.zeros(2, [("a", "f4")]), "of real ones, got an array of"),
    "ragged": ([[1.0], [1.0, 2.0]], "got a list that is no array"),
    "tensors": ([torch.tensor(1.0)], "got a list of tensors; use torch.stack"),
    "a word": ("1.2", "got str"),
    "nothing": (None, "got NoneType"),
    "complex tensor": (torch.ones(2) + 1j, "of real ones, got torch.complex64"),
    "tensor of booleans": (torch.ones(2) > 0, "of real ones, got torch.bool"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("take", [take_numbers, take_map, in_precision, read_numbers])
def test_what_holds_no_real_numbers_is_refused_by_name(take, given, message):
    with pytest.raises(ValueError, match=f"^image must .*{message}"):
        take("image", given)


@pytest.mark.parametrize("given", [np.float32(1.5), np.longdouble(1.5), np.array(1.5), 1.5])
def test_a_number_of_any_kind_is_a_number(given):
    found = take_numbers("theta_E", given)
    assert (type(found), found) == (float, 1.5)


@pytest.mark.parametrize("huge", [10**400, -(10**400), np.longdouble("1e4000")])
def test_a_number_that_is_too_large_is_refused_by_name(huge):
    with pytest.raises(ValueError, match=r"^theta_E must be finite"):
        lp.SIE(theta_E=huge)


def test_quantities_are_converted_to_the_unit_of_a_parameter_or_refused():
    lens = lp.SIE(theta_E=np.array([1.0, 2.0]) * u.arcmin, center_x=0.5 * u.deg)
    assert lens.theta_E.tolist() == [60.0, 120.0]
    assert lens.center_x == 1800.0
    assert lp.SIE(theta_E=Column([1.0, 2.0], unit="arcmin")).theta_E.tolist() == [60.0, 120.0]
    assert lp.SIE(theta_E=Column([1.0, 2.0])).theta_E.tolist() == [1.0, 2.0]
    assert lp.GaussianPSF(0.01 * u.arcmin, 100 * u.mas) == lp.GaussianPSF(0.6, 0.1)
    turned = lp.Multipole(m=3, a_m=0.1, phi_m=90 * u.deg)
    assert turned.phi_m == pytest.approx(np.pi / 2)
    for name, bad in (("theta_E", 1 * u.kpc), ("e1", 1 * u.deg)):
        with pytest.raises(ValueError, match=f"^{name} must be given .*, got a quantity in"):
            lp.SIE(**({"theta_E": 1.0} | {name: bad}))
    with pytest.raises(ValueError, match=r"^image must be given without a unit, got .* MJy / sr"):
        lp.PixelatedSource(image=VALUES * u.Unit("MJy/sr"), pixel_scale=0.1)
    with pytest.raises(ValueError, match=r"^pixel_scale must be positive and finite \(arcsec\)"):
        lp.pixel_grid(4, 0.1 * u.arcsec)


X, Y = lp.pixel_grid(8, 0.3, dtype=torch.float64)


def objects_of(values):
    """Make one object of each kind of the same values, and functions that tell what they give."""
    sie, light = lp.SIE(theta_E=values), lp.Gaussian(amp=values, sigma=values)
    source = lp.PixelatedSource(image=values[None], pixel_scale=0.5)
    psf = lp.PixelPSF(values[None], 0.1, normalise=True)
    population = lp.Population(lp.PointMass(theta_E=values, center_x=0.2))
    scaled = lp.ThinLens([lp.SIE(theta_E=1.0)], alpha_scale=values)
    mass = lp.PixelatedConvergence(kappa=values[None], pixel_scale=2.0)
    cosmology = lp.FlatLambdaCDM(H0=values, Om0=0.3)
    planes = lp.MultiPlane([lp.SIE(theta_E=1.0)], [0.4], z_source=2.0, cosmology=cosmology)
    noise = lp.Noise(values, 100.0)
    return {
        "mass": lambda: sie.deflection(X, Y)[0],
        "light": lambda: light.surface_brightness(X, Y),
        "source": lambda: source.surface_brightness(X, Y),
        "psf": lambda: psf.convolve(X.abs()),
        "population": lambda: population.deflection(X, Y)[0],
        "scale": lambda: scaled.deflection(X, Y)[0],
        "convergence": lambda: mass.deflection(0.1 * X, 0.1 * Y)[0],
        "planes": lambda: planes.arrival_time(X, Y),
        "noise": lambda: noise.sigma(X),
    }


OBJECTS = [*objects_of(torch.ones(3))]


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("shared", ["array", "tensor", "tensor of an array"])
def test_nobody_changes_an_object_from_outside(kind, shared):
    values = np.array([0.5, 0.7, 0.6])
    given = {"array": values, "tensor": torch.tensor(values)}.get(shared, torch.from_numpy(values))
    evaluate = objects_of(given)[kind]
    before = evaluate()
    values *= 1.5
    if isinstance(given, torch.Tensor):
        given.fill_(0.1)
    assert torch.equal(evaluate(), before)


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_follows_the_steps_of_an_optimiser_and_passes_gradients_on(kind):
    values = torch.nn.Parameter(torch.tensor([0.5, 0.7, 0.6], dtype=torch.float64))
    optimiser = torch.optim.SGD([values], lr=1.0)
    evaluate = objects_of(values)[kind]
    for _ in range(2):
        found = evaluate()
        torch.testing.assert_close(found, objects_of(values.detach())[kind]())
        optimiser.zero_grad()
        found.square().sum().backward()
        assert values.grad is not None
        assert (values.grad != 0).any()
        values.grad.copy_(torch.tensor([0.02, -0.03, 0.04]))
        optimiser.step()
    with torch.no_grad():  # as load_state_dict does
        values.copy_(torch.tensor([0.3, 0.2, 0.4]))
    torch.testing.assert_close(evaluate(), objects_of(values.detach())[kind]())


def test_what_is_put_in_place_of_the_data_of_a_parameter_counts():
    theta_E = torch.nn.Parameter(torch.tensor(1.0))
    lens = lp.SIE(theta_E=theta_E)
    theta_E.data = torch.tensor(0.5)
    assert torch.equal(lens.deflection(X, Y)[0], lp.SIE(theta_E=0.5).deflection(X, Y)[0])


def test_a_parameter_that_is_frozen_later_stays_linked():
    theta_E = torch.nn.Parameter(torch.tensor(1.0), requires_grad=False)
    lens = lp.SIE(theta_E=theta_E)
    theta_E.fill_(0.5)
    assert torch.equal(lens.deflection(X, Y)[0], lp.SIE(theta_E=0.5).deflection(X, Y)[0])


def test_replacing_a_parameter_of_a_profile_keeps_the_others_linked():
    e1 = torch.nn.Parameter(torch.tensor(0.1))
    lens = dataclasses.replace(lp.SIE(theta_E=1.0, e1=e1), theta_E=1.1)
    assert lens.e1 is e1
