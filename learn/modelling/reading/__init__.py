"""Files of lenses: what is given, found by name and read, with noise, PSF and mask."""
