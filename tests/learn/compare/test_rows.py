"""The rows and columns of a comparison."""

from learn.compare.rows import (
    BASELINES,
    base_method,
    explain_baselines,
    has_own_encoder,
    mode_columns,
)


def test_the_method_of_an_ablation_is_what_stands_before_the_colon():
    assert base_method("ijepa:no-guard") == "ijepa"
    assert base_method("ijepa") == "ijepa"


def test_a_probe_of_radial_features_has_no_encoder():
    linear = [name for name, row in BASELINES.items() if row.mode == "linear"]
    assert {name for name in linear if not has_own_encoder(name)} == {"radial"}
    assert not has_own_encoder("mae")


def test_rows_on_lens_fits_alone_follow_from_the_configuration_of_the_fits():
    for name in ("detection-statistics", "lens-fit"):
        assert BASELINES[name].sees_lens_fit
        assert has_own_encoder(name), "which is that of an encoder"


def test_baselines_are_explained_by_name():
    assert explain_baselines(["radial", "scratch"]) == (
        "`radial` is a probe of radial features, which need no network; "
        "`scratch` is the same network trained on these labels alone"
    )


def test_probes_come_first_and_budgets_grow():
    found = [("full", "all"), ("linear", "all"), ("full", 10), ("linear", 100), ("linear", 100)]
    assert mode_columns(found) == [
        ("linear", 100),
        ("linear", "all"),
        ("full", 10),
        ("full", "all"),
    ]
