"""Kinds of scenes."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear.settings import LinearModel
from tests.lensphys.fitting.linear.scenes import pixels_of


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ({"source": "shapelets", "source_order": 4}, 15),
        ({"source": "pixels", "source_order": 4}, 64),
        ({"source": "sersic", "sky": True}, 2),
        ({"source": "sersic", "sky": "smooth"}, 22),
        ({"source": "sersic", "lens_light": "mge"}, 22),
        ({"source": "sersic", "lens_light": "sersic"}, 2),
        ({"source": ("sersic", "sersic")}, 2),
        ({"source": ["sersic"], "lens_light": ("sersic", "sersic", "sersic")}, 4),
    ],
)
def test_a_scene_has_the_amplitudes_of_its_kind(kind, count):
    assert LinearModel(**kind).scene(pixels_of()).count == count


def test_several_profiles_have_numbers_from_the_second_on():
    names = LinearModel(source=("sersic",) * 3, lens_light=("sersic",) * 2).scene(pixels_of()).names
    assert {"source_e1", "source_2_e1", "source_3_e1", "lens_light_e1", "lens_light_2_e1"} < {
        *names
    }
    assert "source_4_e1" not in names


def test_one_of_several_is_one():
    assert LinearModel(source=["sersic"], lens_light=("sersic",)) == LinearModel(
        source="sersic", lens_light="sersic"
    )


def test_several_sources_follow_shapelets_and_come_one_by_one():
    kinds = [step.source for step in LinearModel(source=("sersic",) * 2).steps]
    assert kinds == ["shapelets", "sersic", ("sersic", "sersic")]
    (only,) = LinearModel(source="shapelets", source_order=22).steps
    assert only.source_order == 10


def test_shapelets_of_two_scales_follow_where_no_order_is_given():
    further = LinearModel(source="shapelets").further
    counts = [model.scene(pixels_of()).count for model in further]
    assert counts == [91 + 45, 153 + 45, 276 + 66, 435 + 91]
    given = LinearModel(source="shapelets", source_order=4)
    assert given.further == [given]
    assert LinearModel(source="pixels").further == []


@pytest.mark.parametrize("orders", [(12, 8), [12, 8]])
def test_orders_of_two_scales_are_those_that_rising_orders_reach_first(orders):
    given = LinearModel(source="shapelets", source_order=orders, lens_light="mge")
    reached = LinearModel(source="shapelets", lens_light="mge").further[0]
    assert given == reached
    assert given.scene(pixels_of()).count == 91 + 45 + 21
    assert given.order == 12
    assert given.further == [given]
    (only,) = given.steps
    assert only.source_order == only.first_order == 10
    assert only.scene(pixels_of()).count == 66 + 21, "one scale finds the lens"


def test_a_scene_has_the_deflectors_of_its_kind():
    model = LinearModel(mass="EPL", multipoles=(3,), source="sersic")
    names = model.scene(pixels_of()).names
    assert {"theta_E", "gamma", "gamma1", "a3_cos", "source_n_sersic"} < {*names}
    assert "a4_cos" not in names


def test_neighbours_belong_to_their_images():
    neighbour = lp.SIS(theta_E=torch.tensor([0.1, 0.2, 0.3]), center_x=1.0, center_y=0.0)
    taken = LinearModel(neighbours=(neighbour,)).take(torch.tensor([2, 0]))
    assert taken.neighbours[0].theta_E.tolist() == pytest.approx([0.3, 0.1])
    one = LinearModel(neighbours=(lp.SIS(theta_E=0.1),))
    assert one.take(torch.tensor([1])).neighbours[0].theta_E == 0.1


def test_errors_of_lens_light_and_source_may_differ():
    assert LinearModel(model_error=0.1).errors == (0.1, 0.1)
    assert LinearModel(model_error=(0.03, 0.15)).errors == (0.03, 0.15)
    assert LinearModel(model_error=[0.03, 0.15]).errors == (0.03, 0.15)


@pytest.mark.parametrize(("order", "usual"), [(4, 2.0), ((4, 2), 3.0)])
def test_the_regularisation_grows_as_steeply_with_the_order_as_asked(order, usual):
    plain, same, steep = (
        LinearModel(source_order=order, source_steepness=power).scene(pixels_of()).roughness
        for power in (None, usual, usual + 1)
    )
    assert torch.equal(plain, same)
    first = [1, 2, 2, 3, 3, 3]
    ratio = steep.diagonal()[:6] / same.diagonal()[:6]
    torch.testing.assert_close(ratio.sort().values, torch.tensor(first).double())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            {"source": "disc"},
            "source must be one of sersic, shapelets, pixels, or several .* got 'disc'",
        ),
        ({"source": ["sersic", "shapelets"]}, "source must be one of"),
        ({"source": []}, "source must be one of"),
        ({"source": ("sersic",) * 5}, "source may have up to 4 Sersic profiles, got 5"),
        ({"lens_light": "disc"}, "lens_light must be one of None, sersic, mge"),
        ({"sky": 5}, "sky must be"),
        ({"sky": ["smooth"]}, "sky must be"),
        ({"source_order": 41}, "from 1 to 40, or two of them, got 41"),
        ({"source_order": 2.5}, "from 1 to 40"),
        ({"source_order": (12, 41)}, r"from 1 to 40, or two of them, got \(12, 41\)"),
        ({"source_order": (12, 0)}, r"from 1 to 40, or two of them, got \(12, 0\)"),
        ({"source_order": (12, 8, 4)}, "or two of them"),
        ({"source_order": "12"}, "or two of them, got '12'"),
        ({"source": "pixels", "source_order": (12, 8)}, "two scales is that of source='shapelets'"),
        ({"source": "sersic", "source_order": (12, 8)}, "two scales is that of source='shapelets'"),
        ({"model_error": 1.0}, "model_error must be from 0 to below 1"),
        ({"model_error": (0.1, 0.2, 0.3)}, "model_error must be from 0 to below 1"),
        ({"model_error": (0.1, "much")}, "model_error must be from 0 to below 1"),
        ({"source_steepness": 0.0}, "source_steepness must be"),
    ],
)
def test_other_kinds_are_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        LinearModel(**kind)
