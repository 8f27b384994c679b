"""Files that an audit may replace: its own, and no others."""

import json

import pytest

from learn.audit_files import FINDINGS, PICTURE, check_audit
from lensphys.ground.errors import InputError

OURS = {"radial_auc": {}, "twin_accuracy": None, "passed": {}}


def test_an_audit_replaces_its_own_files(tmp_path):
    check_audit(tmp_path / "new", overwrite=False)
    (tmp_path / FINDINGS).write_text(json.dumps(OURS))
    check_audit(tmp_path, overwrite=False)
    (tmp_path / PICTURE).write_bytes(b"of the second check")
    check_audit(tmp_path, overwrite=False)


@pytest.mark.parametrize("name", [FINDINGS, PICTURE])
def test_an_audit_replaces_no_file_of_someone_else(tmp_path, name):
    (tmp_path / name).write_text("[1, 2]")
    with pytest.raises(InputError, match=f"{name} is there already and is no .*--overwrite"):
        check_audit(tmp_path, overwrite=False)
    check_audit(tmp_path, overwrite=True)


def test_an_audit_writes_through_no_link_to_a_file_of_someone_else(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / FINDINGS).symlink_to("mine.json")
    with pytest.raises(InputError, match="is there already"):
        check_audit(tmp_path, overwrite=False)
