"""Published images (.npy, FITS), brought into the form of a data set."""
