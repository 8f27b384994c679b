"""Ways to call a PSF, any of which may be the first."""

import torch


def under_inference_mode(convolve, image):
    with torch.inference_mode():
        return convolve(image)


FIRST_USES = {
    "inference mode": under_inference_mode,
    "forward derivatives": lambda f, image: torch.func.jvp(f, (image,), (image,)),
    "backward derivatives": lambda f, image: torch.func.grad(lambda i: f(i).sum())(image),
    "vmap": lambda f, image: torch.func.vmap(f)(image.expand(2, -1, -1)),
    "vmap of forward derivatives": lambda f, image: torch.func.vmap(
        lambda i: torch.func.jvp(f, (i,), (i,))
    )(image.expand(2, -1, -1)),
}
