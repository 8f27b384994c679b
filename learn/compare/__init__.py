"""The comparison table: methods, data sets, budgets and seeds, cell by cell."""
