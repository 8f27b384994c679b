"""Models of lenses by gigalens and autolens, as ``modelling_peers.py`` times them.

The functions import what they run, and work in environments of their own, without ours.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

N_PIX, PIXEL_SCALE = 64, 0.08
#: Order of the shapelets, Gaussians of the lens light, and chi^2 that is near that of the truth.
ORDER, GAUSSIANS, NEAR = 10, 20, 1.05

#: Steps of a loop that is timed.
_LOOP = 5

Array = NDArray[np.float64]
#: Mean squared residuals of the best start, after each step.
History = NDArray[np.floating[Any]]


class Data(NamedTuple):
    """Images ``(lenses, ny, nx)``, their noise, and the kernel of their PSF."""

    images: Array
    sigma: Array
    kernel: Array


class Code(NamedTuple):
    """Functions of one program: steps of so many models, and a fit of the lens with this number."""

    models: int
    step: Callable[[], object]
    fit: Callable[[int, float], dict[str, float]]


def describe(
    wall: float, per_step: float, history: History, floor: float, theta_E: float
) -> dict[str, float]:
    """Describe a descent: when it arrived near the floor, if it did."""
    near = np.flatnonzero(history < NEAR * floor)
    left = len(history) - 1 - int(near[0]) if len(near) else 0
    arrived = wall - left * per_step if len(near) else math.inf
    return {
        "seconds": wall,
        "arrived": arrived,
        "chi2": float(np.nanmin(history)),
        "theta_E": theta_E,
        "steps": len(history),
    }


def seconds_of(step: Callable[[], object], least: float = 1.0) -> float:
    """Seconds of one call, after one that finds its caches cold."""
    step()
    begin, count, seconds = time.perf_counter(), 0, 0.0
    while seconds < least:
        step()
        count, seconds = count + 1, time.perf_counter() - begin
    return seconds / count


def model_by_gigalens(data: Data, batch: int, floor: Array) -> Code:
    """Descents of gigalens, as its examples make them."""
    import jax
    import jax.experimental.shard_map  # gigalens takes it for loaded
    import jax.numpy as jnp
    import optax
    import tensorflow_probability.substrates.jax as tfp
    from gigalens.jax.inference import ModellingSequence
    from gigalens.jax.model import BackwardProbModel
    from gigalens.jax.profiles.light import sersic, shapelets
    from gigalens.jax.profiles.mass import shear, sie
    from gigalens.jax.simulator import LensSimulator
    from gigalens.model import PhysicalModel
    from gigalens.simulator import SimulatorConfig

    tfd = tfp.distributions
    both, named = tfd.JointDistributionSequential, tfd.JointDistributionNamed

    def center(width: float) -> dict[str, Any]:
        return {"center_x": tfd.Normal(0.0, width), "center_y": tfd.Normal(0.0, width)}

    def shape(width: float) -> dict[str, Any]:
        return {k: tfd.TruncatedNormal(0.0, width, -0.5, 0.5) for k in ("e1", "e2")}

    tidal = {name: tfd.Normal(0.0, 0.05) for name in ("gamma1", "gamma2")}
    radius = {"theta_E": tfd.LogNormal(math.log(1.15), 0.2)}
    mass = both([named(radius | shape(0.1) | center(0.05)), named(tidal)])
    size = {"R_sersic": tfd.LogNormal(math.log(0.6), 0.3), "n_sersic": tfd.Uniform(0.5, 4.0)}
    light = both([named(size | shape(0.1) | center(0.05))])
    source = both([named({"beta": tfd.LogNormal(math.log(0.1), 0.3)} | center(0.15))])
    prior = both([mass, light, source])
    # The faster of the two ways on a CPU; the other needs double precision throughout.
    basis = shapelets.Shapelets(ORDER, use_lstsq=True, interpolate=False)
    physics = PhysicalModel(
        [sie.SIE(), shear.Shear()], [sersic.SersicEllipse(use_lstsq=True)], [basis]
    )
    kernel = data.kernel.astype(np.float32)
    camera = SimulatorConfig(delta_pix=PIXEL_SCALE, num_pix=N_PIX, supersample=1, kernel=kernel)

    def posterior(lens: int) -> BackwardProbModel:
        image = jnp.array(data.images[lens], jnp.float32)
        return BackwardProbModel(prior, image, background_rms=data.sigma[lens], exp_time=1e12)

    first, simulator = posterior(0), LensSimulator(physics, camera, bs=batch)
    points = jnp.stack(first.bij.inverse(prior.sample(batch, seed=jax.random.PRNGKey(0)))).T
    slope = jax.grad(lambda z: first.log_prob(simulator, z)[0].mean())
    # In a loop, as in its descents, where a step is quicker than by itself.
    descend = jax.jit(lambda z: jax.lax.fori_loop(0, _LOOP, lambda _, at: at + 1e-9 * slope(at), z))

    def step() -> None:
        jax.block_until_ready(descend(points))

    def fit(lens: int, limit: float) -> dict[str, float]:
        per_step = seconds_of(step) / _LOOP
        model = posterior(lens)
        steps = max(1, min(350, int(limit / per_step)))
        begin = time.perf_counter()
        best, _, chi2 = ModellingSequence(physics, model, camera).MAP(
            optax.adabelief(1e-2, b1=0.95, b2=0.99),
            n_samples=batch,
            num_steps=steps,
            output_type="best_step",
        )
        history = np.minimum.accumulate(np.asarray(chi2))
        wall = time.perf_counter() - begin
        values = model.bij.forward(list(best[int(np.argmin(chi2))][:, None]))
        return describe(wall, per_step, history, floor[lens], float(values[0][0]["theta_E"][0]))

    return Code(_LOOP * batch, step, fit)


def model_by_autolens(data: Data, batch: int, floor: Array) -> Code:
    """Descents of autolens by its search ``MultiStartAdam``."""
    os.environ.setdefault("JAX_ENABLE_X64", "True")  # as the scripts of its users do
    import autofit as af
    import autolens as al
    import jax
    from autofit.non_linear.fitness import Fitness
    from autogalaxy.profiles.light.standard.shapelets import cartesian

    def pixels(values: Array) -> Any:
        return al.Array2D.no_mask(values, pixel_scales=PIXEL_SCALE)

    def analyse(lens: int) -> Any:
        # The first row of its images is at the top.
        sigma = np.full((N_PIX, N_PIX), data.sigma[lens])
        kernel = al.Convolver(kernel=pixels(data.kernel))
        imaging = al.Imaging(pixels(data.images[lens][::-1]), pixels(sigma), psf=kernel)
        whole = al.Mask2D.circular((N_PIX, N_PIX), radius=99.0, pixel_scales=PIXEL_SCALE)
        imaging = imaging.apply_mask(mask=whole).apply_over_sampling(over_sample_size_lp=1)
        # Shapelets need amplitudes of both signs.
        settings = al.Settings(use_positive_only_solver=False)
        return al.AnalysisImaging(dataset=imaging, settings=settings)

    # Models turn whole numbers into floats, which its recurrence does not take as an order.
    recur = cartesian.hermite_phys
    cartesian.hermite_phys = lambda n, x, xp: recur(int(n), x, xp=xp)
    functions = [
        af.Model(al.lp_linear.ShapeletCartesianSph, n_y=n - k, n_x=k)
        for n in range(ORDER + 1)
        for k in range(n + 1)
    ]
    center = [af.GaussianPrior(mean=0.0, sigma=0.15) for _ in range(2)]
    scale = af.LogUniformPrior(lower_limit=0.05, upper_limit=0.25)
    for function in functions:
        function.centre.centre_0, function.centre.centre_1 = center
        function.beta = scale
    light = al.model_util.mge_model_from(
        mask_radius=2.5, total_gaussians=GAUSSIANS, sigma_min=0.25 * PIXEL_SCALE
    )
    mass = af.Model(al.mp.Isothermal)
    mass.einstein_radius = af.UniformPrior(lower_limit=0.8, upper_limit=1.5)
    tidal = af.Model(al.mp.ExternalShear)
    lens_model = af.Model(al.Galaxy, redshift=0.5, bulge=light, mass=mass, shear=tidal)
    basis = af.Model(al.lp_basis.Basis, profile_list=functions)
    source = af.Model(al.Galaxy, redshift=1.0, bulge=basis)
    model = af.Collection(galaxies=af.Collection(lens=lens_model, source=source))

    def posterior(lens: int) -> Any:
        return Fitness(
            model=model,
            analysis=analyse(lens),
            fom_is_log_likelihood=False,
            resample_figure_of_merit=-np.inf,
            convert_to_chi_squared=True,
        )

    slope = jax.jit(jax.value_and_grad(posterior(0).call))
    generator = np.random.default_rng(0)
    cube = generator.uniform(0.15, 0.85, (batch, model.prior_count))
    points = np.array([model.vector_from_unit_vector(list(row)) for row in cube])

    def step() -> None:
        for point in points:
            jax.block_until_ready(slope(point))

    def fit(lens: int, limit: float) -> dict[str, float]:
        per_step = seconds_of(step)
        analysis = analyse(lens)
        steps = max(1, min(300, int(limit / per_step)))
        search = af.MultiStartAdam(n_starts=batch, n_steps=steps, batch_size=1, silence=True)
        begin = time.perf_counter()
        result = search.fit(model=model, analysis=analysis)
        wall = time.perf_counter() - begin
        instance = result.instance
        chi2 = float(analysis.fit_from(instance=instance).chi_squared)
        merit = np.asarray(result.search_internal["fom_history"], dtype=float)
        history = (merit - merit.min() + chi2) / N_PIX**2  # the rest hardly varies
        radius = float(instance.galaxies.lens.mass.einstein_radius)
        return describe(wall, per_step, history, floor[lens], radius)

    return Code(batch, step, fit)
