"""Lens fits: the smooth lens that :func:`lensphys.fit` finds in each image, and what it leaves."""
