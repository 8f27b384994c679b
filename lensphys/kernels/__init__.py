"""Loops over pixels that numba compiles for the CPU: one file a profile, or a purpose.

:mod:`lensphys.kernels.launch` is what the rest of the package calls; it imports the others, and
numba with them, when a loop is first needed.
"""
