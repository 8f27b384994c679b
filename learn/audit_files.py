"""The files of an audit: their names, and what they may replace. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from lensphys.ground.files import check_output, read_json

#: The findings, and the picture of the second check.
FINDINGS, PICTURE = "audit.json", "audit.png"


def check_audit(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder where an audit would replace a file that no audit has made.

    Args:
        folder: to write to; it need not exist.
        overwrite: replace files of any kind.

    Raises:
        InputError: for such a folder, and for one that cannot be written to.
    """
    findings = folder / FINDINGS
    check_output(findings, "list of findings of an audit", _is_audit, overwrite=overwrite)
    beside = findings.is_file()  # findings of an audit, and its picture
    check_output(folder / PICTURE, "picture of an audit", lambda path: beside, overwrite=overwrite)


def _is_audit(path: Path) -> bool:
    return read_json(path).keys() >= {"radial_auc", "twin_accuracy", "passed"}
