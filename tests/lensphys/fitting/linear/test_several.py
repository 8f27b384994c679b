"""Several Sersic profiles as sources, and as light of a lens."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.linear.several import list_further, sort_profiles, start_light
from lensphys.fitting.optimiser import begin
from lensphys.light.sersic import sersic_total_flux
from tests.lensphys.fitting.linear.lenses import KIND, PSF, SCALE, SIGMA, TRUTH, make_image
from tests.lensphys.fitting.linear.scenes import pixels_of, problem_of

BIG = lp.Sersic(amplitude=10.0, R_sersic=0.16, n_sersic=1.0, center_x=0.1, center_y=0.05)
SMALL = lp.Sersic(amplitude=14.0, R_sersic=0.08, n_sersic=1.0, center_x=-0.25, center_y=0.2)
DISC = lp.Sersic(amplitude=4.0, R_sersic=0.35, n_sersic=1.0, e1=0.2, center_x=0.1, center_y=0.05)
CORE = lp.Sersic(amplitude=40.0, R_sersic=0.07, n_sersic=1.0, center_x=0.1, center_y=0.05)
TWO = {"pixel_scale": SCALE, "psf": PSF, "source": ("sersic", "sersic")}


def assert_within(result, truth, sigmas=4.0):
    """Values of a fit are within some errors of the right ones."""
    for name, right in truth.items():
        off = abs(float(result.params[name]) - right)
        assert off < sigmas * float(result.errors[name]), name


def measure_flux(light):
    return float(sersic_total_flux(light.amplitude, light.R_sersic, light.n_sersic))


@pytest.mark.parametrize("parts", [(BIG, SMALL), (DISC, CORE)], ids=["apart", "disc and core"])
def test_two_sources_are_found_the_brighter_one_first(parts):
    image = make_image((40, 40), source=[*reversed(parts)], shining=False)
    result = lp.fit(image, SIGMA, **TWO)
    assert result.converged.all()
    assert float(result.chi2_dof) < 1.1
    truth = dict(TRUTH)
    for prefix, part in zip(("source_", "source_2_"), parts, strict=True):
        for name in ("R_sersic", "center_x", "center_y"):
            truth[prefix + name] = getattr(part, name)
    assert_within(result, truth)
    assert ", R_sersic (2) " in repr(result)
    for found, part in zip(result.source, parts, strict=True):
        assert measure_flux(found) == pytest.approx(measure_flux(part), rel=0.15)


def test_two_sources_and_a_bulge_with_a_disc_are_found_together():
    image = make_image((40, 40), source=[BIG, SMALL])
    result = lp.fit(image, SIGMA, **TWO | {"lens_light": ("sersic", "sersic")})
    assert float(result.chi2_dof) < 1.1
    near = {"theta_E": 1.0, "source_center_x": 0.1, "source_2_center_x": -0.25}
    assert_within(result, near)
    radii = [float(profile.R_sersic) for profile in result.lens_light]
    assert sorted(radii) == pytest.approx([0.3, 1.2], rel=0.5)


def test_two_sources_are_found_behind_gaussians_too():
    image = make_image((40, 40), source=[BIG, SMALL])
    result = lp.fit(image, SIGMA, **KIND | {"source": ["sersic", "sersic"]})
    assert float(result.chi2_dof) < 1.1
    assert_within(result, {"theta_E": 1.0, "source_2_center_x": -0.25, "source_2_center_y": 0.2})


def test_profiles_that_a_caller_names_keep_their_place():
    image = make_image((40, 40), source=[BIG, SMALL], shining=False)
    start = {"source_center_x": -0.25, "source_center_y": 0.2}
    start |= {"source_2_center_x": 0.1, "source_2_center_y": 0.05}
    first = lp.fit(image, SIGMA, **TWO)
    start = {**{k: v for k, v in first.params.items() if "source" not in k}, **start}
    for name in ("R_sersic", "n_sersic", "e1", "e2"):
        start[f"source_{name}"] = first.params[f"source_2_{name}"]
        start[f"source_2_{name}"] = first.params[f"source_{name}"]
    result = lp.fit(image, SIGMA, start=start, **TWO)
    assert_within(result, {"source_center_x": -0.25, "source_2_center_x": 0.1})


def test_a_further_profile_begins_where_the_residual_is():
    pixels = pixels_of((24, 24))
    scene = LinearModel(source="sersic").scene(pixels)
    problem, z = problem_of(scene, pixels)
    index = torch.arange(2)
    known = scene.named(problem.bounds.forward(z, index)[0])
    known["source_center_x"] = known["source_center_x"] - 0.3
    values = torch.stack([known[name] for name in scene.names], 1)
    state = begin(problem, problem.bounds.inverse(values, index), index)
    points = list_further(problem, state, known, "source_2_")
    # The light of the mock is 0.03" from (0.07, -0.05) and the like; the model is 0.3" beside it.
    assert points["source_2_center_x"].view(2, -1)[:, 0] == pytest.approx([0.1, 0.1], abs=0.12)
    assert len(points["theta_E"]) == 10
    assert set(points) == {*LinearModel(source=("sersic", "sersic")).scene(pixels).names}


def test_the_brightest_profile_comes_first_with_all_that_is_known_of_it():
    pixels = pixels_of()
    scene = LinearModel(source=("sersic",) * 3).scene(pixels)
    names = scene.names
    state = begin_anywhere(len(names))
    params = torch.full((1, len(names)), 1.0).double()
    before = state.z.clone(), state.normal.clone()
    moved = sort_profiles(scene, state, params, torch.tensor([[2.0, 1.0, 3.0]]), ["theta_E"])
    order = [list(names).index(f"{prefix}e1") for prefix in ("source_3_", "source_", "source_2_")]
    places = [list(names).index(f"{prefix}e1") for prefix in ("source_", "source_2_", "source_3_")]
    assert torch.equal(state.z[0, places], before[0][0, order])
    assert torch.equal(state.z, before[0].gather(1, moved))
    assert torch.equal(state.normal[0][places][:, places], before[1][0][order][:, order])
    assert torch.equal(state.z[0, : names.index("source_R_sersic")], before[0][0, :7])
    sorted_once = state.z.clone()
    sort_profiles(scene, state, params, torch.tensor([[2.0, 1.0, 3.0]]), ["source_2_e1"])
    assert torch.equal(state.z, sorted_once)


def begin_anywhere(count):
    """A state of one fit whose numbers are all different."""

    class Counting:
        def equations(self, z, index):
            square = torch.arange(count * count).view(1, count, count).double()
            return torch.zeros(1).double(), square, torch.arange(count)[None].double()

    return begin(Counting(), torch.arange(count)[None].double(), torch.arange(1))


def test_light_begins_as_a_bulge_and_a_disc():
    names = LinearModel(lens_light=("sersic", "sersic")).scene(pixels_of()).names
    radius = torch.tensor([1.0, 2.0])
    found = start_light(names, {"lens_light_e1": torch.tensor([0.1, 0.2])}, radius)
    assert (found["lens_light_R_sersic"] < 0.5 * radius).all()
    assert (found["lens_light_2_R_sersic"] > radius).all()
    assert torch.equal(found["lens_light_2_e1"], found["lens_light_e1"])
    assert "lens_light_3_e1" not in found
    assert start_light(["lens_light_n_sersic"], {}, radius) == {}
