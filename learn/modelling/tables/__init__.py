"""The table of lenses: a row each, with units, errors and angles on the sky."""
