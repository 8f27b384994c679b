"""A local page on which sliders move a lens, and everything follows."""
