"""Progress of long work."""

from pathlib import Path
from typing import Any

import pytest

from lensphys.ground import progress


def test_a_bar_over_many_images_ends_at_all_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirds and sevenths do not add up to one; no byte may be counted twice for that."""
    sizes = {tmp_path / "a": 1_011_328, tmp_path / "b": 97}
    for path, size in sizes.items():
        path.write_bytes(bytes(size))
    bars: list[progress.Bar] = []

    def start_bar(*given: Any, **options: Any) -> progress.Bar:
        bars.append(start(*given, **options))
        return bars[0]

    start = progress.start_bar
    monkeypatch.setattr(progress, "start_bar", start_bar)
    report = progress.show_files(lambda close: None, list(sizes), "predict")
    for path, count in zip(sizes, (60, 7), strict=True):
        for _ in range(count):
            report(path, 1 / count)
            assert bars[0].n <= sum(sizes.values())
        report(path, 1 - sum([1 / count] * count))
    assert bars[0].n == sum(sizes.values())
