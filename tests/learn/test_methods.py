import math
from typing import Any

import pytest
import torch
from torch import Tensor

from learn.config import JitterConfig, PretrainConfig, StretchConfig
from learn.data import Batch, Stretch
from learn.lens_fits.channels import CHANNELS
from learn.methods import METHODS, method_class
from learn.methods.base import Method
from learn.methods.ijepa import spread_over_images
from learn.methods.moco import contrast
from learn.views.jitter import affinely_changed, jittered, shifted_and_blurred
from learn.views.masking import jepa_masks
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError

TEACHERS = [
    ("ijepa", "encoder", "teacher"),
    ("physics-ijepa", "encoder", "teacher"),
    ("moco", "encoder", "teacher"),
    ("moco", "projection", "teacher_projection"),
    ("dino", "encoder", "teacher"),
    ("dino", "head", "teacher_head"),
    ("ibot", "encoder", "teacher"),
    ("ibot", "head", "teacher_head"),
]


def build(method: str, config: Any, *sets: str) -> Method:
    stretch = Stretch.fit(torch.rand(8, 1, 64, 64), StretchConfig(kind="linear", floor=1e-3))
    return method_class(method)(config(method, sets), stretch, total_steps=100)


def images(count: int, channels: int = 1) -> torch.Tensor:
    stack = torch.randn(count, channels, 64, 64).cumsum(-1).cumsum(-2) / 64
    stack[:, 6:] = 0.1  # the noise, of a stack with a lens prior
    return stack


def channels_of(module: Method) -> int:
    """Of the stack of an image and its lens prior, if the encoder sees one."""
    return 1 if module.config.encoder.prior is None else 1 + len(CHANNELS)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_on_one_batch(method: str, pretrain_config: Any) -> None:
    module = build(method, pretrain_config)
    batch = images(16, channels_of(module))
    views = [batch + 0.1 * torch.randn_like(batch) for _ in range(module.views)]
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 2e-3)
    losses = []
    for _ in range(60):
        found = module.loss(*views)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        # A cross-entropy with soft classes cannot fall below the entropy of its targets.
        losses.append((found["loss"] - found.get("teacher_entropy", 0)).item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_parameter_gets_a_gradient(method: str, pretrain_config: Any) -> None:
    module = build(method, pretrain_config)
    module.loss(*[images(8, channels_of(module))] * module.views)["loss"].backward()
    without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("method", METHODS)
def test_a_view_has_the_shape_of_its_image_and_the_channels_of_its_prior(
    method: str, pretrain_config: Any
) -> None:
    module, image, label = build(method, pretrain_config), torch.rand(4, 1, 64, 64), torch.zeros(4)
    channels = channels_of(module)
    prior = torch.rand(4, channels - 1, 64, 64) if channels > 1 else None
    assert module.view(Batch(image, label, None, prior=prior)).shape == (4, channels, 64, 64)
    seen = 1 if channels == 1 else 3  # image, residual and detection
    assert module.exported.vit.patch_embed.proj.in_channels == seen


def test_all_methods_are_shown_as_many_views_of_the_same_kinds() -> None:
    shown, scenes = {}, set()
    for method in METHODS:
        config = load_config(PretrainConfig, shipped_config("pretrain", method, "method"))
        module = method_class(method)(config, Stretch("linear"), total_steps=1)
        shown[method] = config.optimizer.epochs * module.views_per_image
        values = config.model_dump(exclude={"method", "params", "jitter", "optimizer"})
        prior = values["encoder"].pop("prior")
        scenes.add(str(values | {"shift": prior or config.jitter.shift}))
    assert shown == dict.fromkeys(METHODS, 50.0)
    assert len(scenes) == 2, "same encoder, data, seed and symmetries; one sees a lens prior"


@pytest.mark.parametrize(("method", "student", "teacher"), TEACHERS)
def test_teachers_follow_and_are_no_aliases_of_their_students(
    method: str, student: str, teacher: str, pretrain_config: Any
) -> None:
    module = build(method, pretrain_config, "params.momentum_start=0.9")
    learnt = dict(getattr(module, student).named_parameters())
    taught = dict(getattr(module, teacher).named_parameters())
    assert learnt.keys() == taught.keys()
    before = {name: value.clone() for name, value in taught.items()}
    for name, value in learnt.items():
        assert torch.equal(value, taught[name]), "both start as one"
        assert value.data_ptr() != taught[name].data_ptr()
        assert not taught[name].requires_grad
    with torch.no_grad():
        for value in learnt.values():
            value += 1
    module.update_teachers()
    for name, value in taught.items():
        torch.testing.assert_close(value, before[name] + 0.1)


@pytest.mark.parametrize("method", sorted({method for method, _, _ in TEACHERS}))
def test_teachers_get_no_gradient(method: str, pretrain_config: Any) -> None:
    module = build(method, pretrain_config)
    module.loss(*[images(8, channels_of(module))] * module.views)["loss"].backward()
    teachers = [p for n, p in module.named_parameters() if n.startswith("teacher")]
    assert teachers
    assert all(p.grad is None for p in teachers)


@pytest.mark.parametrize("method", ["simclr", "moco", "dino", "ibot"])
def test_a_network_that_sees_no_difference_has_the_stated_loss(
    method: str, pretrain_config: Any
) -> None:
    module = build(method, pretrain_config).eval()  # batch norm would blow up rounding errors
    for part in (module.encoder, getattr(module, "teacher", module.encoder)):
        torch.nn.init.zeros_(part.vit.norm.weight)
    losses = module.loss(*(images(8) for _ in range(module.views)))
    for name, level in module.blind_losses(8).items():
        assert losses[name].item() == pytest.approx(level, rel=0.01)


def test_mocos_contrast_is_least_where_queries_meet_their_own_keys() -> None:
    key = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    own, other = contrast(key, key, 0.2), contrast(key.roll(1, 0), key, 0.2)
    assert own < 0.4 * math.log(8) < other


def test_dinos_windows_keep_scale_and_place(pretrain_config: Any) -> None:
    # What is outside a window is not seen, and what is inside is seen where it is.
    module = build("dino", pretrain_config, "params.local_views=1")
    seen = []
    module.encoder.vit.blocks.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    image = images(6)
    module.local_outputs((image,))
    (window,) = seen
    tokens = module.encoder.vit._pos_embed(module.encoder.vit.patch_embed(image))
    assert window.shape[1] == 4, "half of the side of 4 x 4 patches"
    for i in range(6):
        distance = torch.cdist(window[i], tokens[i])
        places = distance.argmin(1)
        torch.testing.assert_close(window[i], tokens[i][places])
        rows, columns = places // 4, places % 4
        assert rows.max() - rows.min() == columns.max() - columns.min() == 1


def test_ibots_student_does_not_see_what_is_hidden(pretrain_config: Any) -> None:
    module = build("ibot", pretrain_config)
    hidden = module.hidden_patches(8)
    assert hidden.any(1).sum() == 4, "a block in half of the images"
    image = images(8)
    other = torch.where(
        hidden.view(8, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3), 0.0, image
    )
    seen = [module.encoder(x, hidden=hidden, token=module.mask_token) for x in (image, other)]
    torch.testing.assert_close(*seen)


def test_dinos_teacher_sharpens_as_scheduled(pretrain_config: Any) -> None:
    module = build("dino", pretrain_config)
    assert module.temperature() == pytest.approx(0.04)
    later = build("dino", pretrain_config, "params.temperature_warmup=0")
    assert later.temperature() == pytest.approx(0.07)


def test_a_shift_by_whole_pixels_is_a_roll_and_leaves_noise_white() -> None:
    noise = torch.randn(64, 1, 32, 32)
    whole = torch.tensor([[2.0, -3.0]]).expand(64, -1)
    moved = shifted_and_blurred(noise, whole, torch.zeros(64))
    torch.testing.assert_close(moved, noise.roll((2, -3), (-2, -1)), atol=1e-5, rtol=0)
    half = shifted_and_blurred(noise, whole + 0.3, torch.zeros(64))
    neighbours = (half[..., 1:] * half[..., :-1]).mean()
    assert half.std() == pytest.approx(1, abs=0.03)
    assert neighbours.abs() < 0.03


def test_a_blur_widens_a_gaussian_by_its_own_width_and_keeps_its_flux() -> None:
    x = torch.arange(32) - 16.0
    image = torch.exp(-(x**2)[:, None] / 8 - x**2 / 8).expand(1, 1, -1, -1)
    blurred = shifted_and_blurred(image, torch.zeros(1, 2), torch.tensor([1.5]))
    variance = (blurred * x**2).sum() / blurred.sum()
    torch.testing.assert_close(blurred.sum(), image.sum())
    assert variance.item() == pytest.approx(4 + 1.5**2, rel=1e-4)


def test_jitter_of_nothing_is_nothing_and_noise_is_in_units_of_the_level() -> None:
    image = torch.zeros(500, 1, 8, 8)
    none = JitterConfig(shift=0, blur=0, noise=0)
    assert torch.equal(jittered(image, none, torch.tensor(2.0)), image)
    noisy = jittered(image, none.model_copy(update={"noise": 3.0}), torch.tensor(2.0))
    levels = noisy.flatten(1).std(1)
    assert levels.max() < 6 * 1.3
    assert levels.mean() == pytest.approx(3, rel=0.1), "uniform up to 3 x 2"


def test_affine_changes_of_known_images() -> None:
    x = torch.arange(33) - 16.0
    blob = torch.exp(-((x[:, None] - 4) ** 2) / 18 - (x - 6) ** 2 / 8)[None, None]

    def changed(angle: float = 0.0, zoom: float = 1.0, shear: float = 0.0) -> Tensor:
        return affinely_changed(blob, *(torch.tensor([v]) for v in (angle, zoom, shear)))

    def centre(image: Tensor) -> list[float]:
        return [float((image * c).sum() / image.sum()) for c in (x, x[:, None])]

    torch.testing.assert_close(changed(), blob)
    # From x towards y: what lay at (6, 4) lies at (-4, 6).
    turned = changed(angle=math.pi / 2)
    torch.testing.assert_close(turned, torch.rot90(blob, -1, (2, 3)), rtol=0, atol=1e-5)
    assert centre(turned) == pytest.approx([-4, 6], abs=0.01)
    assert centre(changed(zoom=1.2)) == pytest.approx([7.2, 4.8], abs=0.02)
    assert changed(zoom=1.2).sum() == pytest.approx(1.44 * blob.sum().item(), rel=1e-2)
    sheared = changed(shear=math.atan(0.5))
    assert centre(sheared) == pytest.approx([8, 4], abs=0.02)
    assert sheared.sum() == pytest.approx(blob.sum().item(), rel=1e-2)


def test_affine_jitter_is_drawn_for_each_image_and_is_in_no_configuration_without_it() -> None:
    none = JitterConfig(shift=0, blur=0, noise=0)
    assert "affine" not in none.model_dump(mode="json")
    some = JitterConfig.model_validate(
        none.model_dump() | {"affine": {"rotation": 180, "zoom": 0.1, "shear": 10}}
    )
    image = torch.rand(1, 1, 16, 16).expand(3, -1, -1, -1)
    changed = jittered(image, some, torch.tensor(1.0))
    assert (changed[0] - changed[1]).abs().max() > 0.1
    assert (changed[1] - changed[2]).abs().max() > 0.1


def test_jepas_guard_asks_for_differences_of_images_and_not_of_masks(pretrain_config: Any) -> None:
    module = build("ijepa", pretrain_config, "encoder.patch_size=8")
    context, _ = jepa_masks(
        32, 8, targets=4, target_scale=(0.15, 0.2), target_aspect=(0.75, 1.5), context_scale=(1, 1)
    )
    seen = [module.encoder(x, context) for x in (images(32), torch.zeros(32, 1, 64, 64))]
    different, blind = (spread_over_images(tokens, context).mean() for tokens in seen)
    assert different > 10 * blind
    pooled = seen[1].mean(1).std(0).mean()
    assert pooled > 3 * blind, "as the contexts alone would make it seem"


def test_the_spread_over_images_of_a_known_case() -> None:
    places = torch.stack([torch.randperm(10)[:6] for _ in range(500)])
    tokens = 100.0 * places.unsqueeze(-1) + 0.5 * torch.randn(500, 6, 4)
    torch.testing.assert_close(
        spread_over_images(tokens, places), torch.full((4,), 0.5), rtol=0.05, atol=0
    )


def test_jepa_predicts_at_the_places_of_its_targets(pretrain_config: Any) -> None:
    # Targets in the order of blocks and then of images: another order has the same shapes, and
    # would pass unnoticed.
    module = build("ijepa", pretrain_config)
    from lightly.models.utils import apply_masks

    context = torch.arange(4).expand(3, -1)
    targets = [torch.tensor([[5, 6]] * 3), torch.tensor([[9, 10]] * 3)]
    captured = []
    module.predictor.decoder.blocks.register_forward_pre_hook(
        lambda _, inputs: captured.append(inputs[0])
    )
    module.predictor(torch.zeros(3, 4, 24), context, targets)
    position = module.predictor.decoder.pos_embed.expand(3, -1, -1)
    expected = apply_masks(position, targets) + module.predictor.decoder.mask_token
    torch.testing.assert_close(captured[0][:, 4:], expected)


@pytest.mark.parametrize(
    ("method", "item", "message"),
    [
        ("mae", "params.decoder_heads=5", "decoder_dim must be a multiple"),
        ("ijepa", "params.predictor_heads=5", "predictor_dim must be a multiple"),
        ("ijepa", "params.target_aspect=[0,1.5]", "two numbers above 0"),
        ("ibot", "params.mask_scale=[0.3,0.1]", "the lower one first"),
        ("dino", "params.teacher_temperature=0.02", "not be below teacher_temperature_start"),
        ("physics-ijepa", "params.perturber_snr=[0,100]", "two numbers above 0"),
    ],
)
def test_parameters_that_cannot_work_are_refused(
    method: str, item: str, message: str, pretrain_config: Any
) -> None:
    with pytest.raises(InputError, match=message):
        build(method, pretrain_config, item)


def test_physics_ijepa_has_to_learn_from_something(pretrain_config: Any) -> None:
    nothing = ("params.perturber_weight=0", "params.prediction_weight=0")
    with pytest.raises(InputError, match="must not both be 0"):
        build("physics-ijepa", pretrain_config, *nothing)


def test_unknown_methods_and_parameters_are_refused(pretrain_config: Any) -> None:
    with pytest.raises(InputError, match="did you mean 'ijepa'"):
        method_class("jepa")
    with pytest.raises(InputError, match="did you mean 'mask_ratio'"):
        build("mae", pretrain_config, "params.mask_ration=0.5")
