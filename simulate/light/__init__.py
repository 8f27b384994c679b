"""Light in the image plane: lens galaxies, and galaxies that look like lenses."""
