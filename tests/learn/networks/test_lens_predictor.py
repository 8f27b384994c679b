"""A predictor that looks up hidden patches in those that show the same piece of the source."""

import torch
from lightly.models.modules.ijepa_timm import IJEPAPredictorTIMM

from learn.networks.lens_predictor import LensPredictor

SIZES = {"num_patches": 16, "depth": 2, "mlp_dim": 12, "predictor_embed_dim": 8, "num_heads": 2}


def asked(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Tokens of 9 patches of 3 images, these patches, and two sets of targets."""
    order = torch.stack([torch.randperm(16, generator=generator) for _ in range(3)])
    tokens = torch.rand(3, 9, 12, generator=generator)
    return tokens, order[:, :9], [order[:, 9:12], order[:, 12:15]]


def test_without_a_part_of_the_source_it_is_that_of_i_jepa() -> None:
    knowing, plain = LensPredictor(6, **SIZES), IJEPAPredictorTIMM(**SIZES)
    state = {k: v for k, v in knowing.state_dict().items() if k != "from_source.weight"}
    plain.load_state_dict(state)
    tokens, context, targets = asked(torch.Generator().manual_seed(0))
    found = knowing(tokens, context, targets, torch.zeros(3, 16, 6))
    torch.testing.assert_close(found, plain(tokens, context, targets))
    assert found.shape == (6, 3, 12)


def test_a_hidden_patch_is_found_in_its_counter_image() -> None:
    """Tokens that follow from the place in the source alone, which two patches each show."""
    torch.manual_seed(0)
    predictor = LensPredictor(8, **SIZES | {"mlp_dim": 4, "predictor_embed_dim": 32})
    optimizer = torch.optim.Adam(predictor.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)
    losses: dict[bool, float] = {}
    for knows in (True, False):
        for _ in range(300):
            pieces = torch.rand(64, 8, 4, generator=generator)  # what each piece of a source shows
            shown = torch.stack([torch.randperm(16, generator=generator) % 8 for _ in range(64)])
            tokens = pieces.gather(1, shown[..., None].expand(-1, -1, 4))
            waves = torch.nn.functional.one_hot(shown, 8).float() * knows
            context, target = torch.arange(12).repeat(64, 1), torch.arange(12, 16).repeat(64, 1)
            predicted = predictor(tokens[:, :12], context, [target], waves)
            loss = (predicted - tokens[:, 12:]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[knows] = loss.item()
    assert losses[True] < 0.75 * losses[False]
