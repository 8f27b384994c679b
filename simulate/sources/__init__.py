"""Images of galaxies as sources: read from files or drawn, and stored with a data set."""
