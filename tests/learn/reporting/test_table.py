"""A table knows which of its columns hold numbers."""

from learn.reporting.table import Entry, Table


def test_a_column_with_one_number_is_numeric() -> None:
    rows = [[Entry("a"), Entry("–"), Entry("–")], [Entry("b"), Entry("2", 2.0), Entry("–")]]
    assert Table("caption", ("name", "x", "y"), rows).numeric == (False, True, False)


def test_a_table_without_rows_has_no_numbers() -> None:
    assert Table("caption", ("name", "x"), []).numeric == (False, False)
