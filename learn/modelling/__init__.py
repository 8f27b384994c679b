"""Models of real lenses: images with their noise and PSF in; tables, maps and a page out."""
