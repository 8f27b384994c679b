"""Point-spread functions: the blur of a telescope."""

from lensphys.psf.base import PSF
from lensphys.psf.gaussian import FWHM_PER_SIGMA, GaussianPSF
from lensphys.psf.moffat import MoffatPSF
from lensphys.psf.pixel_kernels import centre_kernel
from lensphys.psf.pixels import PixelPSF

__all__ = ["FWHM_PER_SIGMA", "PSF", "GaussianPSF", "MoffatPSF", "PixelPSF", "centre_kernel"]
