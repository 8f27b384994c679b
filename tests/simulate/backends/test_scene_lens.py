"""The lenses of scenes: twins share what substructure does not change."""

import torch

import lensphys as lp
from simulate.backends.scene_lens import SceneLens
from simulate.presets import make_prior


def test_twins_are_the_lenses_without_substructure(configure):
    config = configure(2, "neighbours.fraction=0.6", preset="realistic")
    scene = make_prior(config).draw(0, 9)
    x, y = lp.pixel_grid(12, 0.4, dtype=torch.float64)
    like = torch.empty(0, dtype=torch.float64)
    x, y = (v.expand(9, 12, 12).contiguous() for v in (x, y))
    beta, of_twins = SceneLens.of(scene, like).ray_trace_twins(x, y)
    smooth = scene.without_substructure()
    for found, own in ((beta, scene), (of_twins, smooth)):
        expected = SceneLens.of(own, like).ray_trace(x, y)
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, expected, strict=True))
    moved = torch.hypot(beta[0] - of_twins[0], beta[1] - of_twins[1]).amax((1, 2))
    assert not moved[scene.label == 0].any()
    assert (moved[scene.label > 0] > 1e-4).all()


def test_one_grid_and_a_grid_of_each_image_give_the_same_rays(configure):
    scene = make_prior(configure(2, preset="realistic")).draw(0, 6)
    like = torch.empty(0, dtype=torch.float32)
    lens = SceneLens.of(scene, like)
    x, y = lp.pixel_grid(20, 0.3)
    shared = lens.ray_trace(x, y)
    each = lens.ray_trace(*(v.expand(6, 20, 20).contiguous() for v in (x, y)))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(shared, each, strict=True))


def test_multipoles_can_be_left_out(configure):
    scene = make_prior(configure(2, preset="realistic")).draw(0, 2)
    lens = SceneLens.of(scene, torch.empty(0), multipoles=False)
    assert [type(part).__name__ for part in lens.others] == ["Shear"]
