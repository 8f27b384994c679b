"""Our images are those of DeepLenseSim: the same scenes, pixel by pixel."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.instruments import instrument
from simulate.observe import doubled
from simulate.presets.published import PublishedPrior
from simulate.scenes import Deflectors, Scene
from simulate.substructure import DEEPLENSE_CLASSES as CLASSES

FILE = Path(__file__).parents[1] / "data" / "deeplensesim.h5"
CASES = [
    pytest.param(model, name, image, id=f"model{model}-{name}-{image}")
    for model in (1, 2, 3)
    for name in CLASSES
    for image in (0, 1)
]


@dataclasses.dataclass(frozen=True)
class Published:
    """One image of DeepLenseSim and what it was made from."""

    model: NDArray[np.float64]
    saved: NDArray[np.float64] | None
    main: NDArray[np.float64]
    substructure: NDArray[np.float64]
    source_xy: NDArray[np.float64]
    axion_mass: float


def published(model: int, name: str, image: int) -> Published:
    with h5py.File(FILE) as file:
        group = file[f"model{model}/{name}/{image}"]
        saved = group["image_published"][()] if "image_published" in group else None
        return Published(
            group["image_model"][()],
            saved,
            group["main"][()],
            group["substructure"][()],
            group["source_xy"][()],
            float(group["axion_mass"][()]),
        )


def scene_of(data: Published, prior: PublishedPrior) -> Scene:
    """A scene of one image: drawn parameters from the data, the constant ones from our prior."""
    scene = prior.draw(0, 1)
    params = {name: values.clone() for name, values in scene.params.items()}
    params["source_center_x"][0], params["source_center_y"][0] = data.source_xy
    for name, value in zip(("theta_E", "e1", "e2", "center_x", "center_y"), data.main, strict=True):
        params[name][0] = value
    params["theta_E_main"] = params["theta_E"]
    columns = torch.from_numpy(data.substructure.T[:, None].copy())
    masses = dict(zip(("theta_E", "center_x", "center_y"), columns, strict=True))
    substructure = (Deflectors("PointMass", torch.tensor([0]), masses),) if columns.numel() else ()
    return dataclasses.replace(scene, params=params, substructure=substructure)


def deviation(image: NDArray[np.floating], reference: NDArray[np.float64]) -> float:
    """Largest difference of a pixel, in units of the peak."""
    assert image.shape == (1, *reference.shape)
    return float(np.abs(image[0] - reference).max() / reference.max())


@pytest.mark.parametrize(("model", "name", "image"), CASES)
def test_lenstronomy_backend_reproduces_deeplensesim(configure, model, name, image):
    config, data = configure(model), published(model, name, image)
    renderer = LenstronomyRenderer(instrument(config.instrument), config.planes())
    assert deviation(renderer.render(scene_of(data, PublishedPrior(config))), data.model) < 1e-10


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-8)], ids=["f32", "f64"]
)
@pytest.mark.parametrize(("model", "name", "image"), CASES)
def test_torch_backend_reproduces_deeplensesim(configure, model, name, image, dtype, tolerance):
    config, data = configure(model), published(model, name, image)
    renderer = TorchRenderer(instrument(config.instrument), dtype=dtype)
    assert (
        deviation(renderer.render(scene_of(data, PublishedPrior(config))), data.model) < tolerance
    )


@pytest.mark.parametrize("model", [2, 3])
@pytest.mark.parametrize("name", CLASSES)
def test_published_images_of_models_2_and_3_are_the_doubled_model(configure, model, name):
    config, data = configure(model), published(model, name, 0)
    assert config.observation == "doubled"
    camera = instrument(config.instrument)
    rendered = TorchRenderer(camera, dtype=torch.float64).render(
        scene_of(data, PublishedPrior(config))
    )
    ours = doubled(rendered, camera.background_sigma, np.ones(1), np.random.default_rng)
    assert data.saved is not None
    assert deviation(ours, data.saved) < 1e-8


@pytest.mark.parametrize(("model", "name", "image"), CASES)
def test_the_constant_main_lens_is_that_of_deeplensesim(configure, model, name, image):
    params = PublishedPrior(configure(model)).draw(0, 1).params
    ours = [params[key].item() for key in ("theta_E", "e1", "e2", "center_x", "center_y")]
    assert published(model, name, image).main == pytest.approx(ours, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("model", [1, 2, 3])
@pytest.mark.parametrize("image", [0, 1])
def test_an_axion_vortex_of_deeplensesim_is_a_line_of_our_length(configure, model, image):
    config, data = configure(model), published(model, "axion", image)
    theta_E, x, y = data.substructure.T
    half_length = config.axion.half_length * 1e-22 / data.axion_mass
    assert np.hypot(x, y)[[0, -1]] == pytest.approx([half_length] * 2, rel=1e-9)
    each = config.axion.total_mass / config.axion.n_masses
    assert theta_E == pytest.approx(
        np.full(100, PublishedPrior(config).scale.theta_E(each)), rel=1e-9
    )
