"""Posterior of fitted lenses by batched Hamiltonian Monte Carlo."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from lensphys.fitting.result import FitResult
from lensphys.ground.numbers import check_count
from lensphys.sampling.diagnostics import effective_size, rhat
from lensphys.sampling.draws import RHAT, Draws
from lensphys.sampling.hamiltonian import Chains, Noise
from lensphys.sampling.posterior import Posterior
from lensphys.threads import side_by_side

#: Parts of the warm-up, before each of which the surrogate is fitted anew.
_SHARES: tuple[float, ...] = 0.1, 0.15, 0.25, 0.3, 0.2
#: Least draws of a chain, of which fewer may be returned. R-hat of four chains of independent draws
#: scatters above 1.01 with less.
_LEAST = 400
#: Doublings of a run whose chains do not agree.
_DOUBLINGS = 3


@side_by_side()
@torch.no_grad()
def sample(
    result: FitResult, n: int = 1000, *, seed: int = 0, chains: int = 4, warmup: int = 200
) -> Draws:
    """Draws from the posterior of the non-linear parameters of every fitted lens.

    Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011) preconditioned with the Fisher matrix,
    all lenses and chains in step. The prior is flat in the parameters inside the bounds of the fit,
    times its Gaussian ``priors``; linear amplitudes are marginalised. A parameter at a bound, or
    one of infinite error, is drawn within its bounds; a fixed one is constant. Chains start about
    the mode that the fit found, and see no other that is far away.

    The warm-up fits a surrogate to the posterior, whose gradient leads the chains (Rasmussen 2003),
    and tunes the length of the paths of each lens (dual averaging, Hoffman & Gelman 2014). Then a
    step costs one evaluation of the posterior and none of its derivatives. Every chain takes at
    least 400 steps, and the draws are taken from them at even distances. A lens whose chains do not
    agree learns from them, and runs anew for twice as long, up to three times. The draws of a lens
    follow from the seed, its image, its noise (with ``model_error``) and its fit: the same fit has
    the same draws in any batch, to rounding.

    Args:
        result: of :func:`lensphys.fit`.
        n: number of draws of each lens. R-hat is that of the whole run, which is longer.
        seed: of the random numbers.
        chains: number of chains, at least 2.
        warmup: steps of each chain that teach the surrogate, and are dropped; at least 20.

    Returns:
        Draws by parameter name, each ``(n, B)``, with ``rhat``, ``ess`` and ``acceptance``.

    Raises:
        ValueError: for counts out of range, and a fit without free parameters.

    Warns:
        RuntimeWarning: for lenses whose R-hat is not below 1.01; ``draws.converged`` names them.
    """
    for name, count in (("n", n), ("chains", chains), ("warmup", warmup)):
        check_count(name, count)
    if chains < 2 or warmup < 20:
        raise ValueError(f"chains must be at least 2 and warmup 20, got {chains} and {warmup}")
    problem = result.problem
    posterior = Posterior(problem)
    if not len(posterior.free):
        raise ValueError("all parameters of the fit are fixed, so that there is nothing to draw")
    best = posterior.locate(torch.stack([result.params[name] for name in result.names], -1))
    everything = torch.arange(len(best), device=best.device)
    noise = Noise(seed, problem.images, problem.weight > 0, (chains, best.shape[1]))
    run = Chains(posterior, best, noise, chains)
    each = math.ceil(n / chains)
    length, shares = each * math.ceil(_LEAST / each), _SHARES
    found = [Tensor()] * len(best)
    acceptance, reach = best.new_empty(len(best)), best.new_empty(len(best))
    diagnosed, live = best.new_empty(2, *best.shape), everything
    for _ in range(1 + _DOUBLINGS):
        for share in shares:
            run.learn(math.ceil(share * warmup))
        places, acceptance[live] = run.draw(length)
        reach[live] = run.reach
        for column, k in enumerate(live.tolist()):
            found[k] = places[:, column]
        # A logarithm leaves ranks as they are, and the diagnostics see nothing else.
        chain = places.transpose(1, 2)
        diagnosed[0, live], diagnosed[1, live] = rhat(chain), effective_size(chain)
        apart = torch.nonzero(~(diagnosed[0, live] < RHAT).all(1))[:, 0]
        run, live = run.take(apart), live[apart]
        if not live.numel():
            break
        length, shares = 2 * length, _SHARES[-1:]
    if live.numel():
        warnings.warn(
            f"the chains of {live.numel()} of {len(best)} lenses do not agree (R-hat up to "
            f"{float(diagnosed[0, live].max()):.3f}, where it should be below {RHAT}); "
            "draws.converged marks the others",
            RuntimeWarning,
            stacklevel=2,
        )
    thinned = torch.stack([chain[len(chain) // each - 1 :: len(chain) // each] for chain in found])
    u = thinned.permute(1, 2, 0, 3).flatten(0, 1)[:n]
    params = posterior.parameters(u.flatten(0, 1), everything.repeat(n))
    params = params.view(n, len(best), -1).to(result.chi2_dof.dtype)
    fitted = [result.names[k] for k in posterior.free.tolist()]
    return Draws(
        params=dict(zip(result.names, params.unbind(-1), strict=True)),
        rhat=dict(zip(fitted, diagnosed[0].unbind(-1), strict=True)),
        ess=dict(zip(fitted, diagnosed[1].unbind(-1), strict=True)),
        acceptance=acceptance,
        reach=reach,
        chains=chains,
    )
