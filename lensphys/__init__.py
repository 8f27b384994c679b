"""Differentiable ray-tracing of the gravitational lens equation in torch.

Angles are in arcsec, parameter names are lenstronomy's; every parameter is a number or a tensor of
shape ``(B,)``, every map comes back as ``(B, ny, nx)``.
"""

import lazy_loader

__version__ = "0.1.0"

# Names are imported on first use: torch takes seconds, and the command line must answer sooner.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
