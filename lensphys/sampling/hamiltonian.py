"""Hamiltonian Monte Carlo for a batch of lenses, several chains each, in step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensphys.products import product
from lensphys.sampling.posterior import Posterior

#: Fraction of proposals that the steps are tuned to accept.
_TARGET = 0.8
#: Shortest and longest path, in radians of the motion in a normal distribution, whose quarter
#: turn makes a draw independent of the one before.
_PATHS = (0.8, 2.3)
#: Largest step, and most steps along the longest path: shorter ones do not help a force that is
#: off.
_LARGEST, _MOST = 2.3, 20
_LOG_STEPS = math.log(_PATHS[1] / _MOST), math.log(_LARGEST)
#: Chains start this many widths of the posterior about its mode: wider than it is, so that R-hat
#: notices chains that do not mix.
_SPREAD = 1.5
#: Draws that the covariance at the mode counts for beside those of the chains, a quarter of which
#: count as independent.
_SHRINKAGE, _INDEPENDENT = 20.0, 0.25
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

    def normal(self, lenses: Sequence[int]) -> Tensor:
        """Normal deviates ``(b, C, F)``."""
        drawn = [self._streams[k].standard_normal(self._shape) for k in lenses]
        return torch.from_numpy(np.stack(drawn)).to(self._device)

    def uniform(self, lenses: Sequence[int]) -> Tensor:
        """Uniform deviates ``(b, 1 + C)``."""
        drawn = [self._streams[k].random(1 + self._shape[0]) for k in lenses]
        return torch.from_numpy(np.stack(drawn)).to(self._device)


def _digest(seed: int, *maps: np.ndarray) -> int:
    hashed = hashlib.blake2b(str(seed).encode(), digest_size=16)
    for part in maps:
        hashed.update(np.ascontiguousarray(part).tobytes())
    return int.from_bytes(hashed.digest(), "little")


class Chains:
    """Markov chains of all lenses, in whitened coordinates ``q`` of ``z = centre + T q``.

    Duane et al. 1987 (Phys. Lett. B 195, 216), with the motion in the normal distribution of the
    Fisher matrix solved exactly and only what the force differs from it applied in kicks (split
    Hamiltonian: Shahbaba et al. 2014, Statistics and Computing 24, 339). The motion is reversible
    and keeps volumes whatever the force, and the exact energy decides on each proposal: the
    approximate force of Gauss and Newton costs acceptance, never correctness.

    Args:
        posterior: density of all lenses.
        centre, transform: see :meth:`lensphys.sampling.posterior.Posterior.find_mode`.
        noise: random numbers.
        chains: number of chains of each lens.

    Attributes:
        step: size of a step of each lens, ``(B,)``.
    """

    def __init__(
        self, posterior: Posterior, centre: Tensor, transform: Tensor, noise: Noise, chains: int
    ) -> None:
        self._posterior, self._noise, self.chains = posterior, noise, chains
        self._centre, self._transform = centre, transform
        everything = torch.arange(len(centre), device=centre.device)
        self._q = _SPREAD * self._noise.normal(everything.tolist())
        self._energy = self._energies(self._q, everything)
        while bool((out := self._energy.isinf().any(1) & (self._q != 0).any(2).any(1)).any()):
            # A start where the model has no value moves towards the mode.
            lenses = torch.nonzero(out)[:, 0]
            closer = torch.where(self._q[lenses].abs() > 1e-3, 0.5 * self._q[lenses], 0.0)
            self._q[lenses], self._energy[lenses] = closer, self._energies(closer, lenses)
        self._force = self._forces(self._q, everything)
        self.step = torch.ones(len(centre), dtype=torch.float64, device=centre.device)

    def tune(self, iterations: int) -> None:
        """Move all chains, and adapt the step of each lens to accept four of five proposals."""
        everything = torch.arange(len(self._q), device=self._q.device)
        error, averaged = torch.zeros_like(self.step), torch.zeros_like(self.step)
        for t in range(1, iterations + 1):
            _, accepted = self._move(everything)
            error = error + (_TARGET - accepted - error) / (t + _T0)
            log_step = (-math.sqrt(t) / _GAMMA * error).clamp(*_LOG_STEPS)
            averaged = averaged + t**-_KAPPA * (log_step - averaged)
            self.step = log_step.exp()
        self.step = averaged.exp()

    def adapt(self, iterations: int) -> None:
        """Move all chains, and take centre and width of the posterior from where they went.

        For posteriors that are bent or skewed, whose curvature at the mode tells little of them.
        """
        everything = torch.arange(len(self._q), device=self._q.device)
        q = torch.cat([self._move(everything)[0].clone() for _ in range(iterations)], 1)
        mean = q.mean(1, keepdim=True)
        independent = _INDEPENDENT * q.shape[1]
        spread = product((q - mean).mT, q - mean) / q.shape[1]
        identity = torch.eye(q.shape[2], dtype=q.dtype, device=q.device)
        spread = (independent * spread + _SHRINKAGE * identity) / (independent + _SHRINKAGE)
        factor = torch.linalg.cholesky(spread)
        # Centre first: it is in the old coordinates.
        self._centre = self._places(mean, everything)[:, 0]
        self._transform = product(self._transform, factor)
        self._q = torch.linalg.solve_triangular(factor, (self._q - mean).mT, upper=False).mT
        self._force = product(self._force, factor)

    def draw(self, iterations: int, lenses: Tensor) -> tuple[Tensor, Tensor]:
        """Draws ``(T, b, C, P)`` of ``z`` of some lenses, and the fraction accepted, ``(b,)``."""
        places, fraction = [], torch.zeros_like(self.step[lenses])
        for _ in range(iterations):
            q, accepted = self._move(lenses)
            places.append(self._places(q, lenses))
            fraction += accepted / iterations
        return torch.stack(places), fraction

    def _move(self, lenses: Tensor) -> tuple[Tensor, Tensor]:
        """Advance the chains of some lenses; return them, and the mean probability to accept."""
        rows = lenses.tolist()
        momentum, uniform = self._noise.normal(rows), self._noise.uniform(rows)
        q, energy, force = self._q[lenses], self._energy[lenses], self._force[lenses]
        before = energy + 0.5 * momentum.square().sum(2)
        path = _PATHS[0] + (_PATHS[1] - _PATHS[0]) * uniform[:, 0]
        steps = (path / self.step[lenses]).ceil().clamp(1, _MOST)
        new, momentum, new_force = self._follow(q, momentum, force, path / steps, steps, lenses)
        new_energy = self._energies(new, lenses)
        change = before - new_energy - 0.5 * momentum.square().sum(2)
        chance = change.nan_to_num(-math.inf).clamp_max(0.0).exp()
        accept = uniform[:, 1:] < chance
        self._q[lenses] = torch.where(accept[..., None], new, q)
        self._energy[lenses] = torch.where(accept, new_energy, energy)
        self._force[lenses] = torch.where(accept[..., None], new_force, force)
        return self._q[lenses], chance.mean(1)

    def _follow(
        self, q: Tensor, p: Tensor, force: Tensor, size: Tensor, steps: Tensor, lenses: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Follow the motion of each lens for so many steps of a size."""
        q, p, force = q.clone(), p.clone(), force.clone()
        for done in range(int(steps.max())):
            live = torch.nonzero(steps > done)[:, 0]
            h = size[live, None, None]
            at, push = q[live], p[live] + 0.5 * h * (force[live] + q[live])
            cos, sin = torch.cos(h), torch.sin(h)
            at, push = cos * at + sin * push, cos * push - sin * at
            pull = self._forces(at, lenses[live])
            q[live], p[live], force[live] = at, push + 0.5 * h * (pull + at), pull
        return q, p, force

    def _places(self, q: Tensor, lenses: Tensor) -> Tensor:
        """Coordinates ``z`` ``(b, C, P)`` of whitened ones ``(b, C, F)``."""
        offset = product(q, self._transform[lenses].mT)
        centre = self._centre[lenses, None].expand(-1, q.shape[1], -1)
        places: Tensor = centre.index_add(2, self._posterior.free, offset)
        return places

    def _energies(self, q: Tensor, lenses: Tensor) -> Tensor:
        z = self._places(q, lenses).flatten(0, 1)
        index = lenses.repeat_interleave(self.chains)
        energy: Tensor = self._posterior.energy(z, index).unflatten(0, (-1, self.chains))
        return energy

    def _forces(self, q: Tensor, lenses: Tensor) -> Tensor:
        z = self._places(q, lenses).flatten(0, 1)
        index = lenses.repeat_interleave(self.chains)
        force: Tensor = self._posterior.force(z, index).unflatten(0, (-1, self.chains))
        return product(force, self._transform[lenses])
