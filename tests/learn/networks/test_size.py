"""The memory of networks, before they are built."""

import pytest

from learn.config import EncoderConfig
from learn.networks.encoder import Encoder
from learn.networks.size import TRAINED, check_batch, check_encoder, check_weights, count_parameters
from learn.networks.trial import count_bytes
from lensphys.ground.errors import InputError
from tests.learn.conftest import TINY


def config(**changes: int) -> EncoderConfig:
    return EncoderConfig.model_validate({**TINY, **changes})


@pytest.mark.parametrize("changes", [{}, {"embed_dim": 48, "depth": 3}, {"patch_size": 8}])
def test_the_parameters_of_an_encoder_are_known_by_formula(changes: dict[str, int]) -> None:
    encoder = Encoder(config(**changes))
    trained = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    assert count_parameters(config(**changes)) == trained
    assert count_bytes(lambda: Encoder(config(**changes))) == (
        TRAINED * trained + 4 * encoder.vit.pos_embed.numel()
    )


@pytest.mark.parametrize(
    "changes", [{"embed_dim": 12_000_000}, {"image_size": 16_000_000}, {"patch_size": 1 << 40}]
)
def test_an_encoder_larger_than_memory_is_refused_with_the_numbers(changes: dict[str, int]) -> None:
    if "patch_size" in changes:
        changes = {**changes, "image_size": changes["patch_size"]}
    with pytest.raises(
        InputError, match=r"parameters of the encoder.* need .*B of memory, .* free"
    ):
        check_encoder("encoder", config(**changes))
    with pytest.raises(InputError, match=r"x\.json may be damaged"):
        check_weights(config(**changes), "x.json")


def test_a_batch_larger_than_memory_is_refused() -> None:
    check_batch("encoder", config(), 64)
    with pytest.raises(
        InputError, match=r"batches of 1,000,000,000 images .* optimizer.accumulate"
    ):
        check_batch("encoder", config(), 10**9)
