"""The true-positive rate of subhaloes of the published masses."""

from learn.compare.showing.detected_subhaloes import detected_share


def counts(**lists: list[float]) -> dict[str, object]:
    return {"sensitivity": {"heaviest_subhalo_mass": lists}}


def test_the_share_is_that_of_the_bins_between_a_thousand_and_3160_million_suns() -> None:
    # Up to 10^9, 10^9.25, 10^9.5, 10^9.75, and above.
    metrics = counts(
        median=[5e8, 1.4e9, 2.4e9, 4e9, 8e9], count=[1, 4, 16, 8, 9], detected=[1, 1, 4, 8, 9]
    )
    assert detected_share(metrics) == 0.25


def test_cells_that_have_not_counted_have_no_share() -> None:
    empty = counts(median=[0.0] * 5, count=[0.0] * 5, detected=[0.0] * 5)
    old = counts(median=[1.0] * 5, count=[1.0] * 5, correct=[1.0] * 5)
    for metrics in ({}, {"sensitivity": {}}, old, empty):
        assert detected_share(metrics) is None
