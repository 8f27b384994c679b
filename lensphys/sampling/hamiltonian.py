"""Hamiltonian Monte Carlo for a batch of lenses, several chains each, in step."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensphys.products import product
from lensphys.sampling.posterior import Posterior
from lensphys.sampling.surrogate import Surrogate
from lensphys.sampling.walls import Box

#: Fraction of proposals that the paths are tuned to accept.
_TARGET = 0.8
#: Shortest and longest path, in radians of the motion in a normal distribution, whose quarter
#: turn makes a draw independent of the one before; the number of kicks on the way.
_PATHS, _KICKS = (0.3, 2.6), 8
#: Least factor on the paths of a lens where the force is far off.
_LEAST = 0.02
#: Most places that the surrogate is fitted to.
_KNOWN = 1000
#: Widths that the centre of the normal distribution may lie away from the best fit.
_FARTHEST = 30.0
#: Dual averaging, the constants of Hoffman & Gelman 2014 (JMLR 15, 1593), section 3.2.
_GAMMA, _T0, _KAPPA = 0.05, 10.0, 0.75


class Noise:
    """Random numbers of each lens, from a stream of its own.

    The stream follows from the seed and from the image and noise of the lens, so that its draws are
    the same in any batch.

    Args:
        seed: of all streams.
        images, weight: of each lens, ``(B, ny, nx)``.
        shape: of the numbers of one step, ``(C, F)``.
    """

    def __init__(self, seed: int, images: Tensor, weight: Tensor, shape: tuple[int, int]) -> None:
        self._shape, self._device = shape, images.device
        self._streams = [
            np.random.Generator(np.random.Philox(key=_digest(seed, *maps)))
            for maps in zip(images.cpu().numpy(), weight.cpu().numpy(), strict=True)
        ]

    def take(self, which: Sequence[int]) -> Noise:
        """Numbers of some lenses, from the same streams."""
        noise = copy.copy(self)
        noise._streams = [self._streams[k] for k in which]
        return noise

    def normal(self) -> Tensor:
        """Normal deviates ``(B, C, F)``."""
        drawn = [stream.standard_normal(self._shape) for stream in self._streams]
        return torch.from_numpy(np.stack(drawn)).to(self._device)

    def uniform(self) -> Tensor:
        """Uniform deviates ``(B, 2, C)``."""
        drawn = [stream.random((2, self._shape[0])) for stream in self._streams]
        return torch.from_numpy(np.stack(drawn)).to(self._device)


def _digest(seed: int, *maps: np.ndarray) -> int:
    hashed = hashlib.blake2b(str(seed).encode(), digest_size=16)
    for part in maps:
        hashed.update(np.ascontiguousarray(part).tobytes())
    return int.from_bytes(hashed.digest(), "little")


class Chains:
    """Markov chains of all lenses, in whitened coordinates ``q`` of ``u = centre + T q``.

    Hamiltonian Monte Carlo (Duane et al. 1987, Phys. Lett. B 195, 216). The motion in the normal
    distribution of the Fisher matrix is solved exactly, its reflections at the bounds included, and
    what the posterior differs from it acts in kicks (split Hamiltonian: Shahbaba et al. 2014,
    Statistics and Computing 24, 339). The kicks are those of a
    :class:`lensphys.sampling.surrogate.Surrogate` (Rasmussen 2003, Bayesian Statistics 7, 651), so
    that a path costs the model one evaluation, at its end. The
    motion is reversible and keeps volumes whatever the force, and the exact energy decides on each
    proposal: a surrogate that is off costs acceptance, never correctness.

    Args:
        posterior: density of all lenses.
        centre: best fits, ``(B, F)``, float64.
        noise: random numbers.
        chains: number of chains of each lens.

    Attributes:
        reach: factor on the length of the paths of each lens, ``(B,)``, at most 1.
    """

    def __init__(self, posterior: Posterior, centre: Tensor, noise: Noise, chains: int) -> None:
        self._posterior, self._noise, self._chains = posterior, noise, chains
        self._lenses = torch.arange(len(centre), device=centre.device)
        width = posterior.find_width(centre)
        # Where a bound holds the best fit, the normal distribution has its centre beyond.
        shift = product(posterior.force(centre, self._lenses)[:, None], width)
        shift = shift * (_FARTHEST / shift.norm(dim=2, keepdim=True)).clamp_max(1.0)
        beyond = centre + product(shift, width.mT)[:, 0]
        self._box = Box(beyond, width, posterior.low, posterior.high)
        # Drawn from the best fit until they meet a wall.
        drawn = self._noise.normal()
        quarter = torch.full_like(drawn[..., 0], 0.5 * math.pi)
        around = dataclasses.replace(self._box, centre=centre)
        off = around.rotate(torch.zeros_like(drawn), drawn, quarter)[0]
        self._q = off - shift
        self._energy = self._energies(self._q)
        while bool((out := self._energy.isinf() & (off != 0).any(2)).any()):
            # A start where the model has no value moves towards the best fit.
            closer = torch.where(off.abs() > 1e-3, 0.5 * off, 0.0)
            off = torch.where(out[..., None], closer, off)
            self._q = off - shift
            self._energy = self._energies(self._q)
        self._seen = [(self._q, self._energy)]
        self._surrogate: Surrogate | None = None
        self.reach = torch.ones(len(centre), dtype=torch.float64, device=centre.device)

    def take(self, which: Tensor) -> Chains:
        """Chains of some lenses, which go on from where they are."""
        chains = copy.copy(self)
        chains._lenses, chains._noise = self._lenses[which], self._noise.take(which.tolist())
        chains._box, chains._q = self._box.take(which), self._q[which]
        chains._energy, chains.reach = self._energy[which], self.reach[which]
        chains._seen = [(places[which], energy[which]) for places, energy in self._seen]
        return chains

    def learn(self, iterations: int) -> None:
        """Fit the surrogate to all energies known, then move, and tune the reach of each lens."""
        places, energy = (torch.cat(part, 1) for part in zip(*self._seen, strict=True))
        # The later ones lie where the posterior is.
        latest = slice(max(0, places.shape[1] - 2 * _KNOWN), None)
        every = math.ceil(min(places.shape[1], 2 * _KNOWN) / _KNOWN)
        self._surrogate = Surrogate(places[:, latest][:, ::every], energy[:, latest][:, ::every])
        error, averaged = torch.zeros_like(self.reach), torch.zeros_like(self.reach)
        for t in range(1, iterations + 1):
            accepted = self._move()
            error = error + (_TARGET - accepted - error) / (t + _T0)
            log_reach = (-math.sqrt(t) / _GAMMA * error).clamp(math.log(_LEAST), 0.0)
            averaged = averaged + t**-_KAPPA * (log_reach - averaged)
            self.reach = log_reach.exp()
        self.reach = averaged.exp()

    def draw(self, iterations: int) -> tuple[Tensor, Tensor]:
        """Draws ``(T, B, C, F)``, and the fraction accepted, ``(B,)``."""
        places, fraction = [], torch.zeros_like(self.reach)
        for _ in range(iterations):
            fraction = fraction + self._move() / iterations
            places.append(self._box.coordinates(self._q))
        return torch.stack(places), fraction

    def _move(self) -> Tensor:
        """Advance all chains; the mean probability ``(B,)`` to accept their proposals."""
        momentum, uniform = self._noise.normal(), self._noise.uniform()
        before = self._energy + 0.5 * momentum.square().sum(2)
        path = self.reach[:, None] * (_PATHS[0] + (_PATHS[1] - _PATHS[0]) * uniform[:, 0])
        new, momentum, left = self._follow(self._q, momentum, path / _KICKS)
        energy = self._energies(new)
        self._seen.append((new, energy))
        change = before - energy - 0.5 * momentum.square().sum(2)
        change = torch.where(left > 0, -math.inf, change.nan_to_num(-math.inf))
        chance = change.clamp_max(0.0).exp()
        accept = uniform[:, 1] < chance
        self._q = torch.where(accept[..., None], new, self._q)
        self._energy = torch.where(accept, energy, self._energy)
        return chance.mean(1)

    def _follow(self, q: Tensor, p: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the motion of each chain in steps ``(B, C)``; see :meth:`Box.rotate`."""
        left, size = torch.zeros_like(step), step[..., None]
        assert self._surrogate is not None
        pull = self._surrogate.pull(q)
        for _ in range(_KICKS):
            q, p, lost = self._box.rotate(q, p + 0.5 * size * pull, step)
            pull = self._surrogate.pull(q)
            p, left = p + 0.5 * size * pull, left + lost
        return q, p, left

    def _energies(self, q: Tensor) -> Tensor:
        index = self._lenses.repeat_interleave(self._chains)
        u = self._box.coordinates(q).flatten(0, 1)
        energy: Tensor = self._posterior.energy(u, index).unflatten(0, (-1, self._chains))
        return energy
