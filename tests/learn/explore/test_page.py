"""The page of sliders, without a browser."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.embed import file_html

import lensphys as lp
from learn.explore.observation import Observation, observe
from learn.explore.page import Page
from learn.explore.settings import ExploreSettings
from learn.explore.view import Explorer, Switches


@pytest.fixture
def document(settings_of: Callable[..., ExploreSettings]) -> Document:
    settings = settings_of()
    document = Document()
    Page(Explorer(observe(None, settings), settings), document)
    return document


def widget(document: Document, name: str) -> Any:
    found = document.get_model_by_name(name)
    assert found is not None, name
    return found


def follow(document: Document) -> None:
    """Run what waits for the next turn of the server."""
    for callback in list(document.session_callbacks):
        document.remove_next_tick_callback(callback)
        callback.callback()


def image(document: Document, name: str) -> np.ndarray:
    (drawn,) = [r for r in widget(document, name).renderers if "image" in r.data_source.data]
    return np.array(drawn.data_source.data["image"][0])


def test_several_moves_are_followed_by_one_picture(document: Document) -> None:
    before = {name: image(document, name) for name in ("image", "model", "snr")}
    for value in (0.3, 0.35, 0.4):
        widget(document, "theta_E").value = value
    assert len(document.session_callbacks) == 1
    np.testing.assert_array_equal(image(document, "model"), before["model"])
    follow(document)
    assert not document.session_callbacks
    for name, map_ in before.items():
        assert (image(document, name) != map_).any(), name
    widget(document, "gamma").value = 2.1
    assert len(document.session_callbacks) == 1


def test_groups_that_do_not_count_are_hidden(document: Document) -> None:
    assert not widget(document, "log10_mass").visible
    widget(document, "switch-subhalo").active = True
    follow(document)
    assert widget(document, "log10_mass").visible
    assert widget(document, "switch-subhalo").label == "subhalo: on"
    assert not widget(document, "lens_light_R_sersic").visible


def press(document: Document, name: str) -> None:
    """Click a button."""
    from bokeh.events import ButtonClick

    button = widget(document, name)
    button._trigger_event(ButtonClick(button))


def test_fit_and_reset_move_the_sliders(settings_of: Callable[..., ExploreSettings]) -> None:
    settings = settings_of()
    mock = Explorer(observe(None, settings), settings)
    image = mock.view(mock.start, Switches()).image.astype(float)
    noise, psf = np.full(image.shape, 0.02), lp.GaussianPSF(fwhm=0.144, pixel_scale=0.08)
    document = Document()
    name = "<b>mine</b>"
    Page(Explorer(Observation(name, image.shape, 0.08, image, noise, psf), settings), document)
    first = widget(document, "theta_E").value
    widget(document, "theta_E").value = 1.04 * first
    follow(document)
    press(document, "fit")
    fitted = widget(document, "theta_E").value
    press(document, "fit")
    assert widget(document, "theta_E").value == pytest.approx(fitted, rel=1e-3)
    assert "per pixel" in widget(document, "message").text
    press(document, "reset")
    assert widget(document, "theta_E").value == first
    assert not document.session_callbacks, "the sliders were moved by us"
    shown = file_html(document, title=document.title, template=document.template,
                      template_variables=document.template_variables)  # fmt: skip
    assert name not in shown.partition("<script")[0] + re.sub(
        r"<script.*?</script>", "", shown, flags=re.DOTALL
    )


def test_without_an_image_there_is_nothing_to_fit(document: Document) -> None:
    assert widget(document, "fit").disabled


def test_the_program_follows_the_sliders_once_it_is_shown(document: Document) -> None:
    code = widget(document, "code")
    assert not code.visible
    press(document, "copy")
    assert code.visible
    assert "lp.render(lens, source, x, y, psf=psf)" in code.value
    widget(document, "gamma").value = 2.22
    follow(document)
    assert "gamma=2.22" in code.value


def test_what_cannot_be_shown_is_told(document: Document, monkeypatch: Any) -> None:
    def fail(*arguments: Any) -> None:
        raise ValueError("too <steep>")

    before = image(document, "model")
    monkeypatch.setattr(Explorer, "view", fail)
    widget(document, "gamma").value = 2.3
    follow(document)
    assert widget(document, "message").text == "too &lt;steep&gt;"
    np.testing.assert_array_equal(image(document, "model"), before)


def test_the_page_has_every_picture_with_a_caption(document: Document) -> None:
    pictures = document.template_variables["pictures"]
    assert list(pictures) == ["image", "model", "residual", "snr", "plane"]
    roots = {root.name for root in document.roots}
    assert roots == {*pictures, "sliders", "report"}
    assert document.title == "lensphys explore: a lens without an image"
    for one, two in itertools.combinations(pictures.values(), 2):
        assert one != two
