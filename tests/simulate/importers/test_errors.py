"""Names of strange files are shown safely."""


def test_names_of_files_cannot_write_to_the_terminal(deeplensesim, importing):
    (deeplensesim / "cdm" / "a\x1b[2J\nb.npy").write_bytes(b"")
    importing(deeplensesim)
    assert importing.lines == ["skipped cdm/a\\x1b[2J\\nb.npy: it is empty"]
