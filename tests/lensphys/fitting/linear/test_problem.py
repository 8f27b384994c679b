"""Variable projection: objective, derivatives and evidence, beside dense algebra."""

import math

import pytest
import torch

import lensphys as lp
from tests.lensphys.fitting.linear.scenes import SCALE, pixels_of, problem_of, scene_of

EVERY = torch.arange(2)

KINDS = {
    "shapelets, two ellipses, sky": ("shapelets", "two ellipses", 0),
    "pixels, one ellipse, waves": ("pixels", "one ellipse", 2),
    "gaussians, sersic": ("gaussians", "one ellipse", None),
    "sersic source, dark, sky": ("sersic source", None, 0),
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=list(KINDS))
def made(request):
    """A problem with a prior and a fixed parameter, and coordinates near its best fit."""
    pixels = pixels_of()
    source, light, sky = request.param
    mass = "EPL" if source == "shapelets" else "SIE"
    scene = scene_of(pixels, source, light, sky, mass)
    problem, z = problem_of(scene, pixels, fixed={"gamma2": 0.02}, priors={"e1": (0.1, 0.05)})
    problem.strength[:] = torch.tensor([2e-3, 5e-3]).double()
    return problem, z


def dense(problem, z, row):
    """Columns, amplitudes, mask of the active ones and matrix of one image, by hand."""
    scene, pixels = problem.scene, problem.pixels
    params = scene.named(problem.bounds.forward(z, torch.arange(len(z)))[0])
    lens = scene.lens(params)
    rays = lens.ray_trace(pixels.x, pixels.y)
    maps = [source.evaluate(params, *rays).basis for source in scene.sources]
    maps += [part.basis for part in scene.evaluate_light(params, pixels)]
    basis = torch.cat([part.expand(len(z), -1, -1, -1) for part in maps], 1)
    weight = problem.weight[problem.owner[row]]
    columns = (pixels.collect(basis)[row] * weight).flatten(1).T
    data = (problem.images[problem.owner[row]] * weight).flatten()
    noise = (1 / weight[weight > 0]).median() / SCALE**2
    own = (noise * scene.scatter).square().reciprocal()
    prior = problem.strength[row] * scene.roughness + own.diag()
    amplitudes = problem.measure(z, torch.arange(len(z)))["amplitudes"][row]
    active = (amplitudes != 0) | ~scene.positive
    return columns, data, prior, amplitudes, active


def test_amplitudes_solve_the_normal_equations(made):
    problem, z = made
    for row in EVERY:
        columns, data, prior, amplitudes, active = dense(problem, z, row)
        slope = columns.T @ (data - columns @ amplitudes) - prior @ amplitudes
        scale = (columns.T @ data).abs().max()
        assert slope[active].abs().max() < 1e-5 * scale
        assert (slope[~active] < 1e-5 * scale).all()


def test_the_objective_is_chi2_with_penalties(made):
    problem, z = made
    objective, _, _ = problem.equations(z, EVERY)
    params = problem.scene.named(problem.bounds.forward(z, EVERY)[0])
    for row in EVERY:
        columns, data, prior, amplitudes, _ = dense(problem, z, row)
        right = (data - columns @ amplitudes).square().sum() + amplitudes @ prior @ amplitudes
        right = right + ((params["e1"][row] - 0.1) / 0.05) ** 2
        assert objective[row].item() == pytest.approx(right.item(), rel=1e-9)


def test_the_gradient_is_minus_half_the_slope_of_the_objective(made):
    problem, z = made
    _, _, gradient = problem.equations(z, EVERY)
    step, count = 1e-5, z.shape[1]
    shifts = step * torch.eye(count, dtype=z.dtype).repeat_interleave(2, 0)
    index = EVERY.repeat(count)
    after, before = (
        problem.equations(z.repeat(count, 1) + s * shifts, index)[0].view(count, 2) for s in (1, -1)
    )
    slope = -0.25 * ((after - before) / step).T
    scale = gradient.abs().amax(1, keepdim=True)
    assert ((gradient - slope).abs() < 1e-4 * scale + 1e-3).all()
    own = problem.gradient(z, EVERY, problem.images, problem.weight)
    torch.testing.assert_close(own, gradient, rtol=1e-8, atol=1e-8)
    assert not gradient[:, problem.scene.names.index("gamma2")].any()


def test_the_normal_matrix_is_that_of_the_projected_jacobian(made):
    problem, z = made
    _, normal, _ = problem.equations(z, EVERY)
    _, slope = problem.bounds.forward(z, EVERY)
    near = problem.linearise(z, EVERY)
    count = z.shape[1]
    for row in EVERY:
        columns, _, prior, _, active = dense(problem, z, row)
        columns, prior = columns[:, active], prior[active][:, active]
        rows = near.jacobian[row, :count].flatten(1).T * slope[row]
        inverse = torch.linalg.inv(columns.T @ columns + prior)
        right = rows.T @ rows - rows.T @ columns @ inverse @ columns.T @ rows
        k = problem.scene.names.index("e1")
        right[k, k] += (slope[row, k] / 0.05) ** 2
        scale = right.diagonal().clamp_min(1e-12).sqrt()
        off = (normal[row] - right).abs() / (scale[:, None] * scale)
        live = ~problem.bounds.held
        # Near-parallel columns keep apart by a ridge of 1e-9.
        assert off[live][:, live].max() < 1e-4


def test_the_jacobian_is_the_derivative_at_fixed_amplitudes(made):
    problem, z = made
    params, _ = problem.bounds.forward(z, EVERY)
    near = problem.linearise(z, EVERY)
    scene, pixels = problem.scene, problem.pixels
    amplitudes = scene.split(problem.measure(z, EVERY)["amplitudes"])
    step = 1e-6
    for k, name in enumerate(scene.names):
        ends = []
        for sign in (1, -1):
            moved = params.clone()
            moved[:, k] += sign * step
            ends.append(sum(scene.parts(scene.named(moved) | amplitudes, pixels).values()))
        expected = (ends[0] - ends[1]) / (2 * step) * problem.weight
        if name == "gamma2":  # it is fixed
            expected = torch.zeros_like(expected)
        scale = expected.abs().max().item()
        assert (near.jacobian[:, k] - expected).abs().max().item() <= 1e-4 * scale + 1e-9, name
    model = sum(scene.parts(scene.named(params) | amplitudes, pixels).values())
    residual = (problem.images - model) * problem.weight
    torch.testing.assert_close(near.residual, residual, rtol=1e-6, atol=1e-6)


def test_the_equations_are_those_of_the_linear_expansion(made):
    problem, z = made
    _, normal, _ = problem.equations(z, EVERY)
    _, slope = problem.bounds.forward(z, EVERY)
    near = problem.linearise(z, EVERY)
    jacobian, count = near.jacobian.flatten(2), z.shape[1]
    fisher = jacobian @ jacobian.mT + near.precision
    for row in EVERY:
        live = ~problem.bounds.held
        used = near.jacobian[row, count:].flatten(1).any(1)
        keep = torch.cat([live, used])
        # Marginalised over the amplitudes: the block of the parameters of the inverse.
        scale = fisher[row][keep][:, keep].diagonal().rsqrt()
        scaled = fisher[row][keep][:, keep] * scale[:, None] * scale
        inverse = torch.linalg.inv(scaled + 1e-12 * torch.eye(len(scaled)))
        inverse = (inverse * scale[:, None] * scale)[: live.sum(), : live.sum()]
        right = normal[row][live][:, live] / slope[row][live][:, None] / slope[row][live]
        errors = torch.linalg.inv(right).diagonal().sqrt()
        torch.testing.assert_close(inverse.diagonal().sqrt(), errors, rtol=1e-2, atol=0)


def test_the_energy_marginalises_the_amplitudes(made):
    problem, z = made
    energy = problem.energy(z, EVERY)
    nearby = z + 1e-3
    change = (problem.energy(nearby, EVERY) - energy).tolist()
    objective = [problem.equations(at, EVERY)[0] for at in (z, nearby)]
    held = [dense(problem, at, 0)[4] for at in (z, nearby)]
    if not torch.equal(*held):
        pytest.skip("other amplitudes are at 0")
    for row in EVERY:
        volume = []
        for at in (z, nearby):
            columns, _, prior, _, active = dense(problem, at, row)
            total = columns.T @ columns + prior
            positive = problem.scene.positive & active
            # Those of either sign have a posterior that is Gaussian whatever the others are.
            volume.append(torch.linalg.slogdet(total[active][:, active])[1])
            normal = (columns.T @ columns)[positive][:, positive]
            volume[-1] = volume[-1] - (torch.linalg.slogdet(normal)[1] if positive.any() else 0)
        right = 0.5 * (objective[1] - objective[0])[row] + 0.5 * (volume[1] - volume[0])
        assert change[row] == pytest.approx(right.item(), rel=1e-3, abs=1e-3)


def test_the_marginal_objective_is_twice_the_energy_and_has_its_slope(made):
    problem, z = made
    problem.marginal = True
    try:
        step, count = 1e-5, z.shape[1]
        shifts = step * torch.eye(count, dtype=z.dtype).repeat_interleave(2, 0)
        index = EVERY.repeat(count)
        rows = torch.cat([z.repeat(count, 1) + s * shifts for s in (1, -1)])
        objective = problem.equations(rows, index.repeat(2))[0]
        energy = problem.energy(rows, index.repeat(2))
        # Up to a constant of each image.
        offset = (objective - 2 * energy).view(-1, 2)
        torch.testing.assert_close(offset, offset[:1].expand_as(offset), rtol=1e-9, atol=1e-6)
        after, before = objective.view(2, count, 2)
        slope = -0.25 * ((after - before) / step).T
        _, _, gradient = problem.equations(z, EVERY)
        scale = gradient.abs().amax(1, keepdim=True)
        assert ((gradient - slope).abs() < 1e-4 * scale + 3e-3).all()
        own = problem.gradient(z, EVERY, problem.images, problem.weight)
        torch.testing.assert_close(own, gradient, rtol=1e-8, atol=1e-8)
    finally:
        problem.marginal = False


def test_the_preferred_strength_is_the_maximum_of_the_evidence():
    pixels = pixels_of()
    problem, z = problem_of(scene_of(pixels, "shapelets", None, 0), pixels)
    for _ in range(60):
        problem.strength[:] = problem.measure(z, EVERY)["evidence_strength"]
    best = problem.strength.clone()
    columns, data, _, _, _ = dense(problem, z, 0)
    roughness = problem.scene.roughness

    def log_evidence(strength):
        total = columns.T @ columns + strength * roughness
        best = torch.linalg.solve(total, columns.T @ data)
        misfit = (data - columns @ best).square().sum() + strength * best @ roughness @ best
        count = problem.scene.regularised.sum()
        return -0.5 * (misfit + torch.linalg.slogdet(total)[1] - count * math.log(strength))

    around = [log_evidence(best[0].item() * f).item() for f in (0.7, 0.97, 1.0, 1.03, 1.43)]
    assert max(around) == around[2]
    # And the problem's own measure has the same shape.
    own = []
    for factor in (0.7, 1.0, 1.43):
        problem.strength[:] = best * factor
        own.append(problem.measure(z, EVERY)["log_posterior"][0].item())
    right = [around[0] - around[2], around[4] - around[2]]
    assert [own[0] - own[1], own[2] - own[1]] == pytest.approx(right, rel=1e-4, abs=1e-6)


def test_in_some_rounds_the_strength_settles_where_the_parameters_are():
    pixels = pixels_of()
    settled = {}
    for rounds in (1, 4, 60):
        problem, z = problem_of(scene_of(pixels, "shapelets", None, 0), pixels)
        problem.rounds = rounds
        objective = problem.adapt(z, EVERY)[0]
        torch.testing.assert_close(objective, problem.equations(z, EVERY)[0])
        settled[rounds] = problem.strength.log()
    far, near = ((settled[n] - settled[60]).abs().max() for n in (1, 4))
    assert near < 0.1 * far
    assert near < 0.3


def test_the_effective_number_is_between_none_and_all():
    pixels = pixels_of()
    problem, z = problem_of(scene_of(pixels, "shapelets", None, 0), pixels)
    found = []
    for strength in (1e-9, 1e-3, 1e9):
        problem.strength[:] = strength
        found.append(problem.measure(z, EVERY)["effective"])
    # 21 shapelets and the sky.
    assert (found[0] <= 22.001).all()
    assert (found[0] > found[1]).all()
    assert (found[1] > found[2]).all()
    torch.testing.assert_close(found[2], torch.ones(2).double(), rtol=0, atol=0.01)


def test_light_of_fixed_shape_is_kept():
    pixels = pixels_of()
    scene = scene_of(pixels, "shapelets", "two ellipses", 0)
    free, z = problem_of(scene, pixels)
    params = scene.named(free.bounds.forward(z, EVERY)[0])
    fixed = {name: params[name] for name in scene.light_names}
    kept, z_kept = problem_of(scene, pixels, fixed=fixed)
    live = ~kept.bounds.held
    assert live.sum() == len(scene.names) - len(scene.light_names)
    for _ in range(2):
        for own, right in zip(kept.equations(z_kept, EVERY), free.equations(z, EVERY), strict=True):
            keep = right
            if right.ndim == 2:
                keep, own = right[:, live], own[:, live]
            if right.ndim == 3:
                keep, own = right[:, live][:, :, live], own[:, live][:, :, live]
            torch.testing.assert_close(own, keep, rtol=1e-9, atol=1e-9)
    # Rows in any order.
    own = kept.equations(z_kept[[1, 0]], EVERY[[1, 0]])[0]
    torch.testing.assert_close(own, free.equations(z, EVERY)[0][[1, 0]])
    # Rows of one image alone.
    fixed = {name: value[1:] for name, value in fixed.items()}
    alone, z_alone = problem_of(scene, pixels, fixed=fixed, owner=torch.tensor([1]))
    own = alone.equations(z_alone, torch.tensor([0]))[0]
    torch.testing.assert_close(own, free.equations(z, EVERY)[0][[1]])


def test_rows_belong_to_their_images():
    pixels = pixels_of()
    scene = scene_of(pixels, "shapelets", "one ellipse", 2)
    owner = torch.tensor([1, 0, 1])
    many, z = problem_of(scene, pixels, owner=owner)
    z = z + torch.tensor([[0.0], [0.1], [0.2]])
    index = torch.tensor([2, 0, 1])
    one, _ = problem_of(scene, pixels)
    for found in many.equations(z[index], index):
        for k, row in enumerate(index):
            alone = one.equations(z[row][None], owner[row][None])
            right = {1: alone[0], 2: alone[2], 3: alone[1]}[found.ndim]
            torch.testing.assert_close(found[k], right[0], rtol=1e-8, atol=1e-8)


def test_every_image_has_its_own_psf():
    y, x = torch.meshgrid(*[torch.arange(-3.0, 4.0).double()] * 2, indexing="ij")
    kernels = torch.stack([torch.exp(-0.5 * (x**2 + (y / q) ** 2)) for q in (1.0, 1.5)])
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    scene = scene_of(pixels_of(), "shapelets", "two ellipses", 0)
    both = pixels_of(psf=lp.PixelPSF(kernels, pixel_scale=SCALE))
    together, z = problem_of(scene, both)
    found = together.equations(z, EVERY)
    near = together.linearise(z, EVERY)
    for b in range(2):
        single = pixels_of(psf=lp.PixelPSF(kernels[b], pixel_scale=SCALE))
        alone, _ = problem_of(scene, single)
        for own, right in zip(found, alone.equations(z, EVERY), strict=True):
            torch.testing.assert_close(own[b], right[b], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(near.jacobian[b], alone.linearise(z, EVERY).jacobian[b])
    swapped = together.equations(z[[1, 0]], EVERY[[1, 0]])[0]
    torch.testing.assert_close(swapped, found[0][[1, 0]])


def test_single_precision_is_near_double():
    results = []
    for dtype in (torch.float64, torch.float32):
        pixels = pixels_of(dtype=dtype)
        problem, z = problem_of(
            scene_of(pixels, "shapelets", "two ellipses", 0), pixels, dtype=dtype
        )
        assert problem.linearise(z, EVERY).jacobian.dtype == dtype
        results.append(problem.equations(z, EVERY))
    for double, single in zip(*results, strict=True):
        assert single.dtype == torch.float64
        scale = double.abs().max().item()
        torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-4 * scale)


def test_light_that_is_deflected_more_changes_by_minus_the_slope(made):
    problem, z = made
    named = problem.scene.named(problem.bounds.forward(z, EVERY)[0])
    amplitudes = problem.scene.split(problem.measure(z, EVERY)["amplitudes"])
    pixels, sources = problem.pixels, problem.scene.source(named | amplitudes)
    beta_x, beta_y = problem.scene.lens(named).ray_trace(pixels.x, pixels.y)
    d_x, d_y = 1e-6 * torch.cos(pixels.x), 1e-6 * torch.sin(pixels.y)
    ahead, behind = (
        sum(s.surface_brightness(beta_x + k * d_x, beta_y + k * d_y) for s in sources)
        for k in (-1, 1)
    )
    slopes = problem.linearise(z, EVERY).slopes
    expected = -(slopes[:, 0] * d_x + slopes[:, 1] * d_y)
    scale = expected.abs().max().item()
    torch.testing.assert_close((ahead - behind) / 2, expected, rtol=0, atol=1e-4 * scale)


def test_steps_are_short_enough_for_the_equations_to_hold(made):
    problem, z = made
    step = problem.shorten(z, torch.full_like(z, 9.0), EVERY)
    before, _ = problem.bounds.forward(z, EVERY)
    slope = problem.bounds.forward(z, EVERY)[1]
    change = (step * slope).abs()
    for k, name in enumerate(problem.scene.names):
        known = problem.scene.ranges[name]
        longest = 0.2 * before[:, k] if known.log else 0.12
        if known.unit == "half field" and not known.log:
            longest = 0.03
        assert (change[:, k] <= longest * (1 + 1e-9)).all(), name
    small = torch.full_like(z, 1e-6)
    assert torch.equal(problem.shorten(z, small, EVERY), small)


def test_masked_pixels_may_hold_anything():
    pixels = pixels_of()
    problem, z = problem_of(scene_of(pixels, "shapelets", "two ellipses", 0), pixels)
    before = problem.equations(z, EVERY)
    problem.images[:, 4] = 1e3
    for own, right in zip(problem.equations(z, EVERY), before, strict=True):
        torch.testing.assert_close(own, right)


def test_supersampled_rays_are_averaged():
    psf = lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE / 2)
    pixels = pixels_of(psf=psf, supersampling=2)
    problem, z = problem_of(scene_of(pixels, "shapelets", "two ellipses", 0), pixels)
    near = problem.linearise(z, EVERY)
    assert near.slopes.shape == (2, 2, 40, 48)
    assert near.jacobian.shape[-2:] == (20, 24)
