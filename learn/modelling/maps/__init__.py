"""Maps of a model, their FITS file and the picture of a lens."""
