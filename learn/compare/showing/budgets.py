"""Protocols with numbers for several budgets of labels: those of one source share a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learn.compare.protocols import Protocol
from learn.compare.showing.estimate import estimate, has_numbers, read_metric
from learn.reporting.table import Entry, Table

Metrics = Mapping[str, Any]


def group_protocols(protocols: Mapping[str, Protocol]) -> list[dict[str, Protocol]]:
    """Protocols that share a table: one, or all of a source that have the same budgets.

    Args:
        protocols: by name.
    """
    groups: dict[tuple[Any, ...], dict[str, Protocol]] = {}
    for name, one in protocols.items():
        key: tuple[Any, ...] = (name,)
        if one.budgets:
            key = (one.source, one.preset, one.finetune.task, one.finetune.model, one.budgets)
        groups.setdefault(key, {})[name] = one
    return list(groups.values())


def budget_tables(
    group: Mapping[str, Protocol],
    measured: Mapping[tuple[str, int], Sequence[Metrics]],
    missing: str,
) -> list[Table]:
    """Make a table a metric: a column a budget, two rows a protocol, and last the baselines.

    A baseline stands once: it is the same beside all protocols, which are trained and tested on
    the same images.

    Args:
        group: protocols with the same budgets and images, by name.
        measured: metrics of the cells of a protocol and a budget, one a seed.
        missing: the text where there are none.
    """
    first = next(iter(group.values()))
    baselines = first.baselines([each for found in measured.values() for each in found])
    tables = []
    for measure in first.published:
        rows = []
        for name, protocol in group.items():
            places = range(len(first.budgets))
            numbers = [protocol.published_number(measure, place) for place in places]
            published = [Entry(f"{number:.3f}", number) for number in numbers]
            here = [_mean(measured.get((name, b), ()), measure, missing) for b in first.budgets]
            rows += [[Entry(f"{name}, published"), *published], [Entry(f"{name}, here"), *here]]
        for baseline in baselines:
            of_it = baseline.of(measure)
            beside = [
                _mean(_first(measured, group, budget, of_it), of_it, missing)
                for budget in first.budgets
            ]
            rows.append([Entry(baseline.name), *beside])
        tables.append(Table(measure, (measure, *map(str, first.budgets)), rows))
    return tables


def _first(
    measured: Mapping[tuple[str, int], Sequence[Metrics]],
    names: Iterable[str],
    budget: int,
    metric: str,
) -> Sequence[Metrics]:
    """The cells of the first protocol that has measured a metric with a budget."""
    of_all = (measured.get((name, budget), ()) for name in names)
    return next((each for each in of_all if any(has_numbers(m, [metric]) for m in each)), ())


def _mean(found: Sequence[Metrics], metric: str, missing: str) -> Entry:
    """The mean of a metric over seeds."""
    values = [read_metric(each, metric) for each in found if has_numbers(each, [metric])]
    if not values:
        return Entry(missing)
    mean = estimate(values)
    return Entry(str(mean), mean.mean)
