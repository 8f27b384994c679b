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
from lensphys.sampling.walls import Box

#: Fraction of proposals that the steps are tuned to accept.
_TARGET = 0.8
#: Shortest and longest path, in radians of the motion in a normal distribution, whose quarter
#: turn makes a draw independent of the one before.
_PATHS = (0.8, 2.3)
#: Largest step, and most steps along the longest path: shorter ones do not help a force that is
#: off.
_LARGEST, _MOST = 2.3, 8
_LOG_STEPS = math.log(_PATHS[1] / _MOST), math.log(_LARGEST)
#: Chains start this many widths of the posterior about its mode: wider than it is, so that R-hat
#: notices chains that do not mix.
_SPREAD = 1.5
#: Draws that the curvature at the best fit counts for beside those of the chains, and the range
#: that a new one may have, in its units.
_SHRINKAGE, _CURVATURES = 20.0, (0.1, 100.0)
#: Fraction of the forces that a linear function must explain to be believed.
_EXPLAINED = 0.9
#: Widths that the centre of the normal distribution may lie away from the chains.
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
    """Markov chains of all lenses, in whitened coordinates ``q`` of ``u = centre + T q``.

    Duane et al. 1987 (Phys. Lett. B 195, 216), with the motion in the normal distribution of the
    Fisher matrix solved exactly, its reflections at the bounds included, and only what the force
    differs from it applied in kicks (split Hamiltonian: Shahbaba et al. 2014, Statistics and
    Computing 24, 339). The motion is reversible and keeps volumes whatever the force, and the exact
    energy decides on each proposal: the approximate force of Gauss and Newton costs acceptance,
    never correctness.

    Args:
        posterior: density of all lenses.
        centre: best fits, ``(B, F)``, float64.
        noise: random numbers.
        chains: number of chains of each lens.

    Attributes:
        step: size of a step of each lens, ``(B,)``.
    """

    def __init__(self, posterior: Posterior, centre: Tensor, noise: Noise, chains: int) -> None:
        self._posterior, self._noise, self._chains = posterior, noise, chains
        width = posterior.find_width(centre)
        everything = torch.arange(len(centre), device=centre.device)
        self._box = Box(centre, width, posterior.low, posterior.high)
        # Drawn from the centre until they meet a wall.
        drawn, still = self._noise.normal(everything.tolist()), torch.zeros_like(centre)
        still = still[:, None].expand_as(drawn)
        quarter = torch.full_like(drawn[..., 0], 0.5 * math.pi)
        self._q = self._box.rotate(still, _SPREAD * drawn, quarter)[0]
        self._energy = self._energies(self._q, everything)
        while bool((out := self._energy.isinf().any(1) & (self._q != 0).any(2).any(1)).any()):
            # A start where the model has no value moves towards the centre.
            lenses = torch.nonzero(out)[:, 0]
            closer = torch.where(self._q[lenses].abs() > 1e-3, 0.5 * self._q[lenses], 0.0)
            self._q[lenses], self._energy[lenses] = closer, self._energies(closer, lenses)
        # Where a bound holds the best fit, the normal distribution has its centre beyond.
        shift = self._forces(torch.zeros_like(centre[:, None]), everything)
        shift = shift * (_FARTHEST / shift.norm(dim=2, keepdim=True)).clamp_max(1.0)
        self._recentre(shift, torch.eye(centre.shape[1]).to(width).expand_as(width))
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
        """Move all chains, and take centre and width of the normal distribution from their forces.

        For posteriors whose curvature at the best fit tells little of them: the force is fitted by
        a linear function of the place, which in a normal distribution it is.
        """
        everything = torch.arange(len(self._q), device=self._q.device)
        q, force = [], []
        for _ in range(iterations):
            q.append(self._move(everything)[0].clone())
            force.append(self._force.clone())
        places, forces = torch.cat(q, 1), torch.cat(force, 1)
        mean, pull = places.mean(1, keepdim=True), forces.mean(1, keepdim=True)
        off = places - mean
        identity = torch.eye(off.shape[2], dtype=off.dtype, device=off.device)
        known = _SHRINKAGE * identity
        spread = product(off.mT, off) + known
        curvature = torch.linalg.solve(spread, known - product(off.mT, forces - pull))
        left = forces - pull + product(off, curvature)
        explained = 1 - left.square().sum((1, 2)) / (forces - pull).square().sum((1, 2))
        value, vector = torch.linalg.eigh(0.5 * (curvature + curvature.mT))
        factor = vector * value.clamp(*_CURVATURES).rsqrt()[:, None]
        shift = product(product(pull, factor), factor.mT)
        shift = shift * (_FARTHEST / shift.norm(dim=2, keepdim=True)).clamp_max(1.0)
        good = (explained > _EXPLAINED)[:, None, None]
        self._recentre(torch.where(good, mean + shift, 0.0), torch.where(good, factor, identity))

    def _recentre(self, centre: Tensor, factor: Tensor) -> None:
        """Change coordinates to ``q = centre + factor q'``, with the chains where they are."""
        box = self._box
        self._box = Box(
            box.centre + product(centre, box.transform.mT)[:, 0],
            product(box.transform, factor),
            box.low,
            box.high,
        )
        self._q = torch.linalg.solve(factor, (self._q - centre).mT).mT
        self._force = self._forces(self._q, torch.arange(len(self._q), device=self._q.device))

    def draw(self, iterations: int, lenses: Tensor) -> tuple[Tensor, Tensor]:
        """Draws ``(T, b, C, F)`` of some lenses, and the fraction accepted, ``(b,)``."""
        places, fraction = [], torch.zeros_like(self.step[lenses])
        for _ in range(iterations):
            q, accepted = self._move(lenses)
            places.append(self._box.take(lenses).coordinates(q))
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
        new, momentum, new_force, left = self._follow(
            q, momentum, force, path / steps, steps, lenses
        )
        new_energy = self._energies(new, lenses) + torch.where(left > 0, torch.inf, 0.0)
        change = before - new_energy - 0.5 * momentum.square().sum(2)
        chance = change.nan_to_num(-math.inf).clamp_max(0.0).exp()
        accept = uniform[:, 1:] < chance
        self._q[lenses] = torch.where(accept[..., None], new, q)
        self._energy[lenses] = torch.where(accept, new_energy, energy)
        self._force[lenses] = torch.where(accept[..., None], new_force, force)
        return self._q[lenses], chance.mean(1)

    def _follow(
        self, q: Tensor, p: Tensor, force: Tensor, size: Tensor, steps: Tensor, lenses: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Follow the motion of each lens for so many steps of a size; see :meth:`Box.rotate`."""
        q, p, force, left = q.clone(), p.clone(), force.clone(), torch.zeros_like(q[..., 0])
        for done in range(int(steps.max())):
            live = torch.nonzero(steps > done)[:, 0]
            h = size[live, None, None]
            push = p[live] + 0.5 * h * (force[live] + q[live])
            angle = size[live, None].expand(-1, self._chains)
            at, push, lost = self._box.take(lenses[live]).rotate(q[live], push, angle)
            pull = self._forces(at, lenses[live])
            q[live], p[live], force[live] = at, push + 0.5 * h * (pull + at), pull
            left[live] += lost
        return q, p, force, left

    def _energies(self, q: Tensor, lenses: Tensor) -> Tensor:
        u = self._box.take(lenses).coordinates(q).flatten(0, 1)
        index = lenses.repeat_interleave(self._chains)
        energy: Tensor = self._posterior.energy(u, index).unflatten(0, (-1, self._chains))
        return energy

    def _forces(self, q: Tensor, lenses: Tensor) -> Tensor:
        box = self._box.take(lenses)
        index = lenses.repeat_interleave(q.shape[1])
        force = self._posterior.force(box.coordinates(q).flatten(0, 1), index)
        return product(force.unflatten(0, (-1, q.shape[1])), box.transform)
