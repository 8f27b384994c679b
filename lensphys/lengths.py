"""Range of the lengths of profiles: radii, widths, scales, arcsec (the sky is 1.3e6 around)."""

#: Least and largest: within them squares and derivatives stay finite in float32.
LEAST, MOST = 1e-6, 1e5
