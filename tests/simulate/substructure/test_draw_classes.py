"""Each class draws the substructure of its own images."""

import numpy as np

from simulate.substructure.draw_classes import (
    columns_of_substructure,
    deflectors_of,
    draw_classes,
)
from simulate.substructure.lens_plane import MassScale

SCALE = MassScale(1e-6)


def drawn(config, label):
    rngs = [np.random.default_rng(i) for i in range(len(label))]
    params = {"theta_E": np.ones(len(label))}
    return list(draw_classes(config, SCALE, np.array(label), params, rngs))


def test_columns_are_those_of_all_classes_with_a_section(configure):
    """Those that are not simulated too: the columns of a preset do not depend on the classes."""
    expected = ["axion_mass", "log10_axion_mass", "vortex_angle", "vortex_half_length"]
    assert columns_of_substructure(configure(2, classes=["no_sub"])) == expected
    physical = columns_of_substructure(configure(2, preset="physical"))
    assert physical[:2] == ["substructure_infall_mass", "heaviest_subhalo_mass"]
    assert physical[-2:] == ["vortex_center_x", "vortex_center_y"]


def test_each_class_has_its_images_and_non_lenses_have_none(configure):
    (smooth, none), (cdm, found), (axion, _) = drawn(configure(), [0, 1, 2, 3, 1, 0])
    assert none is None
    assert [rows.tolist() for rows in (smooth, cdm, axion)] == [[0, 5], [1, 4], [2]]
    draw, substructure = found
    part = deflectors_of(draw, substructure, cdm)
    assert part.profile == "PointMass"
    assert part.rows.tolist() == [1, 4]
    assert all(values.shape == (2, 25) for values in part.params.values())


def test_the_substructure_of_an_image_does_not_depend_on_the_others(configure):
    config = configure()
    together = drawn(config, [1, 1, 2])[1][1][1]
    alone = drawn(config, [1])[1][1][1]
    for name, values in alone.deflectors.items():
        assert np.array_equal(values, together.deflectors[name][:1])


def test_a_class_without_images_draws_nothing(configure):
    assert [rows.tolist() for rows, _ in drawn(configure(), [0, 0])] == [[0, 1]]
