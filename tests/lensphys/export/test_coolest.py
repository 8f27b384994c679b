"""Templates of COOLEST, read as the standard defines its profiles."""

import json

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util import coolest_read_util as theirs

import lensphys as lp
from lensphys.export.coolest import to_coolest
from tests.lensphys.fitting.mocks import KIND, draw, image_of

GRID = lp.pixel_grid((24, 30), 0.1, dtype=torch.float64)
KNOWN = {"shape": (24, 30), "pixel_scale": 0.1}
TWO = torch.tensor([1.0, 1.2]).double()
LENS = lp.ThinLens(
    [
        lp.EPL(theta_E=TWO, gamma=2.1, e1=0.1 * TWO, e2=-0.2, center_x=0.03, center_y=-0.05),
        lp.Shear(gamma1=-0.03, gamma2=0.04 * TWO),
        lp.SIS(theta_E=0.2, center_x=1.0, center_y=0.7),
        lp.SIE(theta_E=0.3, e1=-0.1, e2=0.15, center_x=-1.0, center_y=0.7),
    ]
)
SHAPE = {"e1": -0.1, "e2": 0.05 * TWO, "center_x": 0.05, "center_y": -0.1}
LIGHTS = {
    "Sersic": lp.Sersic(amplitude=30.0 * TWO, R_sersic=0.3, n_sersic=2.0, **SHAPE),
    "shapelets": lp.Shapelets(
        amp=torch.randn(2, 21, generator=torch.Generator().manual_seed(1)).double(),
        n_max=5,
        beta=0.1 * TWO,
        center_x=0.1,
    ),
    "Gaussians": lp.MultiGaussian(
        amp=torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0]]).double(),
        sigma=torch.tensor([0.1, 0.2, 0.4]).double(),
        **SHAPE,
    ),
    "one Gaussian": lp.Gaussian(amp=3.0 * TWO, sigma=0.2, **SHAPE),
}


def values(profile):
    """Point estimates of the parameters of a profile."""
    return {key: v["point_estimate"]["value"] for key, v in profile["parameters"].items()}


def mirrored(kwargs):
    """Parameters as lenstronomy's reader takes them: its x axis points to the left."""
    kwargs["center_x"] = -kwargs["center_x"]
    if "q" in kwargs:
        shape = theirs.qphi_coolest_to_e1e2_lenstronomy(kwargs.pop("q"), kwargs.pop("phi"))
        kwargs |= dict(zip(("e1", "e2"), shape, strict=True))
    return kwargs


def deflect(template):
    """Deflection that lenstronomy finds for a template."""
    names, kwargs = [], []
    for entity in template["lensing_entities"]:
        for profile in entity["mass_model"]:
            found = values(profile)
            if profile["type"] == "ExternalShear":
                pair = theirs.gamma_phi_coolest_to_g1_g2_lenstronomy(*found.values())
                found = dict(zip(("gamma1", "gamma2"), pair, strict=True))
            else:
                found = mirrored(found)
            names.append({"PEMD": "EPL", "SIE": "SIE", "ExternalShear": "SHEAR"}[profile["type"]])
            kwargs.append(found)
    x, y = (v.numpy().ravel() for v in GRID)
    alpha_x, alpha_y = LensModel(names).alpha(-x, y, kwargs)
    return -alpha_x, alpha_y


def shine(profiles):
    """Surface brightness that lenstronomy finds for profiles of a template."""
    names, kwargs = [], []
    for profile in profiles:
        found = values(profile)
        if profile["type"] == "Sersic":
            renamed = {"I_eff": "amp", "theta_eff": "R_sersic", "n": "n_sersic"}
            found = {renamed.get(key, key): value for key, value in found.items()}
            names.append("SERSIC_ELLIPSE")
        else:
            amps = theirs.shapelet_amp_coolest_to_lenstronomy(found.pop("amps"))
            found["amp"] = np.array(amps)
            names.append("SHAPELETS")
        kwargs.append(mirrored(found))
    x, y = (v.numpy().ravel() for v in GRID)
    return LightModel(names).surface_brightness(-x, y, kwargs)


@pytest.mark.parametrize("index", [0, 1])
def test_rays_are_deflected_alike(index):
    template = to_coolest(LENS, None, None, index, **KNOWN)
    right = [alpha[index].numpy().ravel() for alpha in LENS.deflection(*GRID)]
    np.testing.assert_allclose(deflect(template), right, rtol=0, atol=2e-6)
    kinds = [[p["type"] for p in e["mass_model"]] for e in template["lensing_entities"]]
    assert kinds == [["PEMD", "SIE", "SIE"], [], ["ExternalShear"]]


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS)
@pytest.mark.parametrize("index", [0, 1])
def test_light_shines_alike(light, index):
    template = to_coolest(LENS, [light, light], light, index, **KNOWN)
    lens, source, _ = template["lensing_entities"]
    right = light.surface_brightness(*GRID)[index].numpy().ravel()
    tolerance = {"rtol": 0, "atol": 1e-6 * abs(right).max()}
    np.testing.assert_allclose(shine(lens["light_model"]), right, **tolerance)
    np.testing.assert_allclose(shine(source["light_model"]), 2 * right, **tolerance)


@pytest.mark.parametrize(
    ("e1", "e2", "phi"), [(0.2, 0.0, 90), (-0.2, 0.0, 0), (0.0, 0.2, -45), (0.0, -0.2, 45)]
)
def test_angles_go_from_up_to_the_left(e1, e2, phi):
    lens = lp.ThinLens([lp.SIE(theta_E=1.0, e1=e1, e2=e2)])
    (mass,) = to_coolest(lens, None, None, **KNOWN)["lensing_entities"][0]["mass_model"]
    assert values(mass)["phi"] == pytest.approx(phi)
    assert values(mass)["q"] == pytest.approx(0.8 / 1.2)
    assert values(mass)["theta_E"] == 1.0


def test_a_result_goes_out_with_its_field_and_redshifts():
    truth = draw(2, seed=4)
    result = lp.fit(image_of(truth), 0.1, **KIND, start=truth, max_steps=0)
    template = result.to_coolest(-1, z_lens=0.3, z_source=1.2, ra=150.0, dec=-2.0)
    written = json.loads(json.dumps(template, allow_nan=False))
    lens, source, shear = written["lensing_entities"]
    assert (lens["redshift"], source["redshift"], shear["redshift"]) == (0.3, 1.2, 0.3)
    (mass,) = lens["mass_model"]
    assert values(mass)["theta_E"] == pytest.approx(float(truth["theta_E"][1]), rel=1e-5)
    pixels = written["observation"]["pixels"]
    (ny, nx), scale = result.model.shape[1:], KIND["pixel_scale"]
    assert (pixels["num_pix_x"], pixels["num_pix_y"]) == (nx, ny)
    assert pixels["field_of_view_x"] == pytest.approx([-nx * scale / 2, nx * scale / 2])
    assert written["coordinates_origin"] == {"ra": "150.00000000d", "dec": "-2.00000000d"}
    assert "light_model" not in shear
    with pytest.raises(ValueError, match="index must be"):
        result.to_coolest(2)


def test_what_the_standard_lacks_is_named():
    halo = lp.ThinLens([lp.NFW(Rs=1.0, alpha_Rs=0.3)])
    with pytest.raises(ValueError, match=r"COOLEST has no mass profile like NFW; fit without"):
        to_coolest(halo, None, None, **KNOWN)
    pixels = lp.PixelatedSource(image=torch.ones(4, 4), pixel_scale=0.1)
    with pytest.raises(ValueError, match="no light profile like PixelatedSource; fit source="):
        to_coolest(LENS, pixels, None, **KNOWN)
