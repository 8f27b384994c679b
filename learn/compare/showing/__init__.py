"""The table, figures and page of a comparison, made from the files of its cells alone."""
