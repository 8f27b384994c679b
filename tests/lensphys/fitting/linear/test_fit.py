"""Fits of scenes whose light is linear, from images alone to lenses with errors."""

import math

import pytest
import torch

import lensphys as lp
from tests.lensphys.fitting.linear.lenses import KIND, PSF, SCALE, SIGMA, TRUTH, make_image

SMALL = {**KIND, "source_order": 5}


@pytest.fixture(scope="module")
def image():
    return make_image()


@pytest.fixture(scope="module")
def result(image):
    return lp.fit(image, SIGMA, **SMALL)


def complete(result):
    """All parameters of a fit, to start from."""
    return {name: value.detach() for name, value in result.params.items()}


def assert_found(result, errors=5.0, names=TRUTH, **allowed):
    """The truth is within some errors, or within what is allowed."""
    for name in names:
        off = (result.params[name].double() - TRUTH[name]).abs()
        assert (off < allowed.get(name, errors * result.errors[name].double())).all(), name


def test_a_lens_of_bulge_and_disc_is_found(result):
    assert_found(result, theta_E=0.004)
    assert 0.85 < result.chi2_dof.item() < 1.15
    assert bool(result.converged)
    assert result.errors["theta_E"].item() < 0.002
    parts = result.parts()
    torch.testing.assert_close(sum(parts.values()), result.model)
    assert not parts["sky"].any()
    assert {*result.amplitudes} == {"source", "lens_light"}
    assert result.amplitudes["source"].shape == (1, 21)
    assert (result.amplitudes["lens_light"] >= 0).all()
    assert 20 < result.effective.item() < 21 + 21 + 14
    # Mean and standard deviation of each parameter with a prior.
    assert result.priors["gamma1"][0].item() == 0
    assert "gamma" not in result.priors


def test_a_batch_is_as_good_as_its_truth():
    images = torch.stack([make_image(seed=k) for k in range(5)])
    found = lp.fit(images, SIGMA, **{**KIND, "source": "sersic"})
    for name in ("theta_E", "e1", "e2", "gamma1", "gamma2"):
        pull = (found.params[name] - TRUTH[name]) / found.errors[name]
        assert pull.abs().max() < 4.5, name
        assert 0.3 < pull.square().mean().sqrt() < 2, name
    assert found.chi2_dof.mean().item() == pytest.approx(1.0, abs=0.05)
    assert found.converged.all()


@pytest.mark.parametrize(("source", "order"), [("shapelets", None), ("pixels", 7)])
def test_a_spiral_behind_a_lens_is_found(source, order):
    spiral = lp.Spiral(
        m=2,
        amplitude=6.0,
        R_sersic=0.25,
        n_sersic=1.0,
        arm_contrast=0.8,
        pitch=0.5,
        R_core=0.05,
        phi_arm=0.4,
        center_x=0.08,
        center_y=0.05,
    )
    # A grid of 14 x 14 pixels is too coarse for the arms, not for the lens.
    explained = 1.3 if order is None else 2.5
    kind = {**KIND, "source": source, "source_order": order}
    found = lp.fit(make_image((36, 36), source=spiral), SIGMA, **kind)
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.012)
    assert found.chi2_dof.item() < explained


def test_no_result_depends_on_the_unit_of_the_flux(image, result):
    for scale in (1e-6, 1e6):
        found = lp.fit(scale * image, scale * SIGMA, **SMALL)
        for name in TRUTH:
            off = (found.params[name] - result.params[name]).abs().item()
            assert off < 0.05 * result.errors[name].item() + 1e-6, name
        assert found.chi2_dof.item() == pytest.approx(result.chi2_dof.item(), rel=1e-3)
        torch.testing.assert_close(found.model / scale, result.model, rtol=0, atol=0.1 * SIGMA)
        pixels = image.numel()
        change = found.evidence.item() + pixels * math.log(scale) - result.evidence.item()
        assert abs(change) < 0.5


@pytest.mark.parametrize("convert", [torch.Tensor.float, lambda v: v.numpy().astype(">f4")])
def test_single_precision_and_arrays_of_any_byte_order_are_as_good(image, result, convert):
    found = lp.fit(convert(image), SIGMA, **SMALL)
    assert found.params["theta_E"].dtype == found.model.dtype == torch.float32
    for name in TRUTH:
        off = (found.params[name].double() - result.params[name]).abs().item()
        assert off < 0.1 * result.errors[name].item(), name


def test_a_batch_is_as_single_fits(image, result):
    others = [make_image(seed=k, offset=(0.05 * k, 0.0)) for k in (1, 2)]
    together = lp.fit(torch.stack([image, *others]), SIGMA, **SMALL)
    singles = [result, *(lp.fit(other, SIGMA, **SMALL) for other in others)]
    for k, single in enumerate(singles):
        for name in single.names:
            off = (together.params[name][k] - single.params[name][0]).abs().item()
            assert off < 0.1 * single.errors[name].item(), name


def test_threads_change_nothing(image):
    images = torch.stack([image, make_image(seed=1)])
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(lp.fit(images, SIGMA, **SMALL))
    finally:
        torch.set_num_threads(before)
    for name in found[0].names:
        torch.testing.assert_close(found[0].params[name], found[1].params[name])


@pytest.mark.parametrize("shape", [(32, 38), (33, 35)], ids=["not square", "odd"])
def test_images_of_any_shape(shape):
    assert_found(lp.fit(make_image(shape), SIGMA, **SMALL), theta_E=0.006)


def test_a_lens_may_be_off_the_middle():
    found = lp.fit(make_image((38, 38), offset=(0.4, -0.1)), SIGMA, **SMALL)
    assert_found(found, theta_E=0.006)
    assert found.params["center_x"].item() == pytest.approx(0.4, abs=0.02)


def test_large_images_are_searched_on_wider_pixels():
    image = make_image((130, 130), scale=0.03, sigma=0.005)
    psf = lp.GaussianPSF(fwhm=0.12, pixel_scale=0.03)
    found = lp.fit(image, 0.005, **{**SMALL, "pixel_scale": 0.03, "psf": psf})
    assert_found(found, theta_E=0.006)
    assert found.model.shape == (1, 130, 130)


def test_masked_pixels_may_hold_anything(image, result):
    spoiled, sigma = image.clone(), torch.full_like(image, SIGMA)
    spoiled[2:5, 3:8] = 50.0
    sigma[2:5, 3:8] = math.inf
    found = lp.fit(spoiled, sigma, **SMALL)
    assert_found(found, theta_E=0.004)
    assert (found.residual[0, 2:5, 3:8] == 0).all()
    assert found.chi2_dof.item() < 1.15


def test_a_background_is_told_from_the_light_of_the_lens(image):
    found = lp.fit(image + 0.05, SIGMA, sky=True, **SMALL)
    assert_found(found, theta_E=0.005)
    level = found.amplitudes["sky"].item() * SCALE**2
    # The widest Gaussians are nearly as flat.
    assert level == pytest.approx(0.05, abs=0.02)
    smooth = lp.fit(image + 0.05, SIGMA, sky="smooth", **SMALL)
    assert smooth.amplitudes["sky"].shape == (1, 21)
    assert_found(smooth, theta_E=0.005)


def test_multipoles_are_small_where_there_are_none(image):
    found = lp.fit(image, SIGMA, multipoles=(3, 4), **SMALL)
    for name in ("a3_cos", "a3_sin", "a4_cos", "a4_sin"):
        assert abs(found.params[name].item()) < 4 * found.errors[name].item() + 0.01
        assert name in found.priors
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.006)


def test_every_image_has_its_own_neighbours(result):
    def neighbours(theta_E):
        return [lp.SIS(theta_E=theta_E, center_x=1.4, center_y=0.9)]

    radii = torch.tensor([0.1, 0.3], dtype=torch.float64)
    images = torch.stack([make_image(more=neighbours(r)) for r in radii])
    found = lp.fit(images, SIGMA, neighbours=neighbours(radii), **SMALL)
    assert_found(found, theta_E=0.006)
    assert found.chi2_dof.max() < 1.3
    alone = lp.fit(images[1], SIGMA, neighbours=neighbours(0.3), **SMALL)
    for name in TRUTH:
        off = (alone.params[name][0] - found.params[name][1]).abs().item()
        assert off < 0.1 * alone.errors[name].item()


def test_a_complete_start_is_gone_on_from(image, result):
    start = complete(result)
    stay = lp.fit(image, SIGMA, start=start, max_steps=0, **SMALL)
    for name in TRUTH:
        torch.testing.assert_close(stay.params[name], result.params[name])
    again = lp.fit(image, SIGMA, start=start, **SMALL)
    assert again.params["theta_E"].item() == pytest.approx(
        result.params["theta_E"].item(), abs=1e-4
    )
    nudged = {name: value + 0.005 for name, value in start.items()}
    assert_found(lp.fit(image, SIGMA, start=nudged, **SMALL), theta_E=0.004)


def test_a_partial_start_ends_no_worse_than_none(image, result):
    for start in ({"theta_E": 1.0}, {"theta_E": 0.96, "source_beta": 0.1, "gamma1": 0.02}):
        found = lp.fit(image, SIGMA, start=start, **SMALL)
        assert found.chi2_dof.item() < result.chi2_dof.item() + 0.02
        assert_found(found, theta_E=0.004)


def test_what_is_fixed_stays(image):
    fixed = {"gamma1": 0.03, "center_x": 0.0, "source_beta": 0.08, "lens_light_e1": 0.1}
    found = lp.fit(image, SIGMA, fixed=fixed, **SMALL)
    for name, value in fixed.items():
        assert found.params[name].item() == pytest.approx(value)
        assert found.errors[name].item() == 0
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.006)


def test_bounds_hold(image):
    found = lp.fit(image, SIGMA, bounds={"theta_E": (0.9, 0.95)}, **SMALL)
    assert 0.9 <= found.params["theta_E"].item() <= 0.95
    assert found.chi2_dof.item() > 1.5


def test_priors_replace_those_of_lenses_of_galaxies(image, result):
    found = lp.fit(image, SIGMA, priors={"e1": (0.3, 1e-3)}, **SMALL)
    assert [v.item() for v in found.priors["e1"]] == pytest.approx([0.3, 1e-3])
    assert found.params["e1"].item() > result.params["e1"].item() + 0.1
    assert {*found.priors} == {*result.priors}


def test_errors_of_the_model_widen_those_of_the_lens(image, result):
    one = lp.fit(image, SIGMA, model_error=0.03, **SMALL)
    pair = lp.fit(image, SIGMA, model_error=[0.03, 0.15], **SMALL)
    assert result.errors["theta_E"] < one.errors["theta_E"] < pair.errors["theta_E"]
    for found in (one, pair):
        assert_found(found)
        assert found.chi2_dof < result.chi2_dof + 0.02
        assert (found.problem.weight <= 1 / SIGMA * (1 + 1e-9)).all()


def test_a_dark_lens_is_found():
    found = lp.fit(make_image(shining=False), SIGMA, **{**SMALL, "lens_light": None})
    assert_found(found, theta_E=0.004)
    assert found.lens_light is None
    assert {*found.amplitudes} == {"source"}


def test_lens_light_may_be_a_sersic_profile(image):
    found = lp.fit(image, SIGMA, **{**SMALL, "lens_light": "sersic"})
    assert "lens_light_n_sersic" in found.params
    assert found.amplitudes["lens_light"].shape == (1, 1)
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.01)


def test_a_power_law_fits_no_worse_than_the_isothermal_lens_it_contains(image, result):
    found = lp.fit(image, SIGMA, mass="EPL", **SMALL)
    assert found.chi2_dof.item() < result.chi2_dof.item() + 0.01
    # Not run away to its bounds, 1.2 and 2.8 or so, but near the prior or the truth.
    assert 1.8 < found.params["gamma"].item() < 2.3
    assert [v.item() for v in found.priors["gamma"]] == pytest.approx([2.08, 0.16])
    assert_found(found, theta_E=0.006)


@pytest.mark.parametrize("fine", [False, True], ids=["pixels", "finer pixels"])
def test_rays_and_psf_may_be_finer_than_pixels(image, fine):
    x, y = lp.pixel_grid((32, 32), SCALE, dtype=torch.float64)
    psf = lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE / 2 if fine else SCALE)
    found = lp.fit(image, SIGMA, **{**SMALL, "psf": psf}, supersampling=2)
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.006)
    assert found.chi2_dof.item() < 1.2
    model = lp.render(
        found.lens, found.source, x, y, psf=psf, supersampling=2, lens_light=found.lens_light
    )
    torch.testing.assert_close(model, found.model, rtol=0, atol=0.02 * image.max().item())


def test_a_psf_of_others_will_do(image):
    class Blur:
        pixel_scale = SCALE / 2

        def convolve(self, image):
            return lp.GaussianPSF(fwhm=0.12, pixel_scale=SCALE / 2).convolve(image)

        def take(self, index):
            return self

    found = lp.fit(image, SIGMA, **{**SMALL, "psf": Blur()}, supersampling=2)
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.01)


def test_every_image_has_its_own_psf(image):
    y, x = torch.meshgrid(*[torch.arange(-3.0, 4.0).double()] * 2, indexing="ij")
    kernels = torch.stack([torch.exp(-0.5 * (x**2 + y**2) / width**2) for width in (0.5, 1.2)])
    images = torch.stack([image, image])
    found = lp.fit(images, SIGMA, **{**SMALL, "psf": kernels})
    assert found.chi2_dof[0] < 1.2
    # The true width is 0.51 pixels.
    assert found.chi2_dof[1] > found.chi2_dof[0] + 0.1


def test_gradients_are_those_of_fits_to_other_images():
    # No regularisation, and no amplitude at 0: all is smooth.
    image = make_image((28, 28), shining=False) + 0.02
    kind = {**KIND, "lens_light": None, "source": "sersic", "sky": True, "tolerance": 1e-10}
    first = lp.fit(image, SIGMA, **kind)
    start = complete(first)
    leaf = image.clone().requires_grad_()
    found = lp.fit(leaf, SIGMA, start=start, **kind)
    assert bool(found.converged)
    total = found.params["theta_E"] + 0.5 * found.params["e1"] + found.params["source_n_sersic"]
    (slope,) = torch.autograd.grad(total.sum(), leaf, retain_graph=True)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(4)).double()
    step, ends = 1e-4, []
    for sign in (1, -1):
        moved = lp.fit(image + sign * step * direction, SIGMA, start=start, **kind).params
        ends.append((moved["theta_E"] + 0.5 * moved["e1"] + moved["source_n_sersic"]).item())
    expected = (ends[0] - ends[1]) / (2 * step)
    assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-2)
    # The model follows too.
    (by_model,) = torch.autograd.grad(found.model.sum(), leaf)
    assert by_model.isfinite().all()
    assert by_model.any()


@pytest.mark.parametrize("source", ["shapelets", "pixels", "sersic"])
def test_images_without_lenses_have_finite_parameters(source):
    empty = torch.zeros(32, 32, dtype=torch.float64)
    noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(1)).double()
    images = torch.stack([empty, empty + 1, empty - 1, SIGMA * noise, -make_image()])
    options = {**SMALL, "source": source, "source_order": 3, "max_steps": 8}
    found = lp.fit(images, SIGMA, **options)
    for value in (*found.params.values(), found.model, found.chi2_dof, *found.amplitudes.values()):
        assert value.isfinite().all()
    for value in found.errors.values():
        assert not value.isnan().any()


def test_a_source_does_not_copy_the_image_of_a_small_field():
    # A free source behind no lens explains any image: theta_E would be 0.
    image = make_image((26, 26), shining=False)
    found = lp.fit(image, SIGMA, **{**KIND, "lens_light": None, "source_order": 16})
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.02)


def test_the_core_of_a_lens_is_no_image_of_the_source():
    # A core as bright as the arcs, sharper than the Gaussians of the light and not modelled well.
    image = make_image()
    image[15:17, 15:17] *= 1.1
    found = lp.fit(image, SIGMA, model_error=(0.03, 0.15), **KIND)
    assert found.params["theta_E"].item() == pytest.approx(1.0, abs=0.02)


def test_a_masked_neighbour_is_not_taken_for_an_image():
    x, y = lp.pixel_grid(32, SCALE, dtype=torch.float64)
    blob = lp.Sersic(amplitude=20.0, R_sersic=0.12, n_sersic=1.0, center_x=-1.2, center_y=1.1)
    none = lp.Sersic(amplitude=0.0, R_sersic=1.0, n_sersic=1.0)
    lens = lp.ThinLens([lp.SIE(theta_E=0.1)])
    image = make_image() + lp.render(lens, none, x, y, psf=PSF, lens_light=blob)
    sigma = torch.where(torch.hypot(x + 1.2, y - 1.1) < 0.45, math.inf, SIGMA)
    found = lp.fit(image, sigma, **KIND)
    assert_found(found, theta_E=0.006)


def test_too_few_pixels_are_refused(image):
    sigma = torch.full_like(image, math.inf)
    sigma[15:17, 15:18] = SIGMA
    with pytest.raises(ValueError, match="6 pixels that are not masked, too few"):
        lp.fit(image, sigma, **SMALL)


REFUSED = {
    "source": ({"source": "sersics"}, "source must be one of sersic, shapelets, pixels"),
    "order": ({"source_order": 0}, "source_order must be a whole number from 1 to 40"),
    "sky": ({"sky": "rough"}, "sky must be False, True or 'smooth'"),
    "model error": ({"model_error": (0.1, 0.2, 0.3)}, "model_error must be from 0 to below 1"),
    "word": ({"model_error": "much"}, "model_error must be from 0 to below 1"),
    "multipoles": ({"multipoles": 3}, "multipoles must be a list of orders"),
    "neighbours": ({"neighbours": lp.SIS(theta_E=0.1)}, "neighbours must be a list"),
    "start": ({"start": {"theta": 1.0}}, "did you mean theta_E"),
    "fixed": ({"fixed": {"source_betta": 1.0}}, "did you mean source_beta"),
    "bounds": ({"bounds": {"theta_E": (2.0, 1.0)}}, "bounds of theta_E"),
    "priors": ({"priors": {"theta_E": (1.0, 0.0)}}, "prior of theta_E must be positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_make_no_sense_are_refused(image, case):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        lp.fit(image, SIGMA, **{**SMALL, **options})


def test_a_quick_search_finds_most_lenses():
    """With the light of the lens taken off before the source is looked for."""
    offsets = [(0.0, 0.0), (0.05, -0.03), (-0.08, 0.04), (0.02, 0.1), (-0.05, -0.06)]
    images = torch.stack([make_image(seed=k, offset=at) for k, at in enumerate(offsets)])
    found = lp.fit(images, SIGMA, n_starts=1, **SMALL)
    near = (found.params["theta_E"] / TRUTH["theta_E"] - 1).abs() < 0.01
    assert near.float().mean() >= 0.8
    assert found.chi2_dof[near].max() < 1.2
    dark = lp.fit(make_image(shining=False), SIGMA, n_starts=1, **{**SMALL, "lens_light": None})
    assert dark.params["theta_E"].item() == pytest.approx(1.0, abs=0.006)


def test_a_quick_search_takes_orders_of_two_scales_in_any_number_of_images(image):
    kind = {**KIND, "source_order": (6, 3), "n_starts": 1}
    images = torch.stack([image, *(make_image(seed=k) for k in (1, 2))])
    found = lp.fit(images, SIGMA, **kind)
    assert found.amplitudes["source"].shape == (3, 28 + 10)
    assert_found(found, theta_E=0.006)
    alone = lp.fit(image, SIGMA, **kind)
    off = (alone.params["theta_E"][0] - found.params["theta_E"][0]).abs()
    assert off < 0.1 * alone.errors["theta_E"][0]


def test_a_bad_order_is_refused_in_one_line(image):
    with pytest.raises(ValueError, match=r"^source_order must be .* or two of them, got \(0, 8\)$"):
        lp.fit(image, SIGMA, **{**KIND, "source_order": (0, 8)})
