"""The page of sliders: figures and widgets of bokeh, and what follows when one is moved."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from bokeh.core.templates import get_env
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models.callbacks import CustomJS
from bokeh.models.mappers import LinearColorMapper
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.widgets.buttons import Button, Toggle
from bokeh.models.widgets.inputs import TextAreaInput
from bokeh.models.widgets.markups import Div
from bokeh.models.widgets.sliders import Slider
from bokeh.palettes import RdBu11, interp_palette
from bokeh.plotting import figure
from numpy.typing import NDArray

from learn.explore.knobs import LENS_LIGHT, SUBHALO, Knob
from learn.explore.python_code import write_python
from learn.explore.view import Explorer, Switches, View

#: The maps, in the order in which they stand, and the plane of the source.
_MAPS, _PLANE = ("image", "model", "residual", "snr"), "plane"
#: Blue, white, red.
_DIVERGING = interp_palette(RdBu11, 256)
#: Largest residual and S/N that a colour tells apart.
_LIMITS = {"residual": 5.0, "snr": 10.0}
#: Width of what is shown of the source plane, in half widths of the image.
_SEEN = 0.8
_CRITICAL, _CAUSTIC = "#37d67a", "#c0392b"


@dataclasses.dataclass
class _Panel:
    """A map: its data and its colours."""

    figure: Any
    source: ColumnDataSource
    colours: LinearColorMapper
    limit: float | None

    def show(self, values: NDArray[np.float32]) -> None:
        """Show another map."""
        finite = values[np.isfinite(values)]
        if self.limit is None:
            low, high = np.quantile(finite, [0.01, 0.998]) if len(finite) else (0.0, 1.0)
            self.colours.update(low=float(low), high=float(max(high, low + 1e-12)))
        self.source.data = {"image": [values]}


class Page:
    """One visitor's page.

    Args:
        explorer: lens and image.
        document: of bokeh, which is filled.
    """

    def __init__(self, explorer: Explorer, document: Document) -> None:
        self._explorer, self._document = explorer, document
        self._busy = False
        self._waits = False
        self._sliders = {name: _slider(knob, self._moved) for name, knob in explorer.knobs.items()}
        self._switches = {
            group: Toggle(label=f"{group}: off", active=False, name=f"switch-{group}")
            for group in (LENS_LIGHT, SUBHALO)
        }
        for group, switch in self._switches.items():
            switch.on_change("active", partial(self._switched, group))
        self._message = Div(text="", name="message")
        self._code = TextAreaInput(
            value="", rows=12, sizing_mode="stretch_width", visible=False, name="code"
        )
        self._panels = {name: self._panel(name) for name in _MAPS}
        self._curves = {
            "critical": ColumnDataSource({"xs": [], "ys": []}),
            "caustics": ColumnDataSource({"xs": [], "ys": []}),
        }
        self._place = ColumnDataSource({"x": [], "y": []})
        self._fill()
        self._refresh()

    @property
    def values(self) -> dict[str, float]:
        """Positions of the sliders, by name."""
        return {name: float(slider.value) for name, slider in self._sliders.items()}

    @property
    def switches(self) -> Switches:
        """The groups that count."""
        return Switches(self._switches[LENS_LIGHT].active, self._switches[SUBHALO].active)

    def _panel(self, name: str) -> _Panel:
        observation = self._explorer.observation
        ny, nx = observation.shape
        width, height = nx * observation.pixel_scale, ny * observation.pixel_scale
        limit = _LIMITS.get(name)
        panel = _figure(width, height, name)
        colours = LinearColorMapper(palette="Inferno256" if limit is None else _DIVERGING)
        if limit is not None:
            colours.update(low=-limit, high=limit)
        source = ColumnDataSource({"image": [np.zeros((ny, nx), np.float32)]})
        corner = {"x": -width / 2, "y": -height / 2, "dw": width, "dh": height}
        panel.image("image", **corner, source=source, color_mapper=colours)
        return _Panel(panel, source, colours, limit)

    def _captions(self) -> dict[str, str]:
        """Words below the pictures, by name."""
        observation = self._explorer.observation
        whose = "model with noise" if observation.image is None else "image"
        width = observation.shape[1] * observation.pixel_scale
        return {
            "image": f"{whose}, {width:.3g} arcsec wide, and critical curves",
            "model": "model and critical curves",
            "residual": f"residual in noise, {_explain_colours('residual')}",
            "snr": f"S/N of one more mass, {_explain_colours('snr')}",
            _PLANE: f"source plane, {_SEEN * observation.half:.3g} arcsec: caustics and source",
        }

    def _fill(self) -> None:
        """Put everything into the document."""
        observation = self._explorer.observation
        for name in ("image", "model"):
            self._panels[name].figure.multi_line(
                "xs", "ys", source=self._curves["critical"], line_color=_CRITICAL
            )
        plane = _figure(_SEEN * observation.half, _SEEN * observation.half, _PLANE)
        plane.multi_line("xs", "ys", source=self._curves["caustics"], line_color=_CAUSTIC)
        plane.scatter("x", "y", source=self._place, size=9, marker="x", line_color="black")
        fit = Button(
            label="fit",
            button_type="primary",
            name="fit",
            disabled=observation.image is None,
        )
        fit.on_click(self._fit)
        reset = Button(label="reset", name="reset")
        reset.on_click(self._reset)
        copy = Button(label="copy as Python", name="copy")
        copy.on_click(self._show_code)
        # By the browser, which lets a page write to the clipboard after a click alone, if at all.
        copied = "navigator.clipboard?.writeText(text.value).catch(() => {})"
        copy.js_on_click(CustomJS(args={"text": self._code}, code=copied))
        parts: list[Any] = [row(fit, reset, copy, sizing_mode="stretch_width")]
        for group, knobs in self._explorer.groups.items():
            parts.append(self._switches.get(group) or Div(text=f"<b>{html.escape(group)}</b>"))
            parts += [self._sliders[knob.name] for knob in knobs]
        sliders = column(*parts, sizing_mode="stretch_width", name="sliders")
        report = column(self._message, self._code, sizing_mode="stretch_width", name="report")
        for root in (sliders, *(panel.figure for panel in self._panels.values()), plane, report):
            self._document.add_root(root)
        title = f"lensphys explore: {observation.name}"
        self._document.title = title
        environment = get_env()
        text = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
        template: jinja2.Template = environment.from_string(text)
        self._document.template = template
        self._document.template_variables.update(pictures=self._captions(), title=title)
        self._hide()

    def _moved(self, attr: str, old: float, new: float) -> None:
        """Remember that a slider was moved: several moves at once are followed by one picture."""
        if not self._waits and not self._busy:
            self._waits = True
            self._document.add_next_tick_callback(self._refresh)

    def _switched(self, group: str, attr: str, old: bool, new: bool) -> None:
        self._switches[group].label = f"{group}: {'on' if new else 'off'}"
        self._hide()
        self._moved(attr, float(old), float(new))

    def _hide(self) -> None:
        """Show the sliders of groups that count alone."""
        for group, switch in self._switches.items():
            for knob in self._explorer.groups[group]:
                self._sliders[knob.name].visible = switch.active

    def _refresh(self) -> None:
        self._waits = False
        try:
            view = self._explorer.view(self.values, self.switches)
        except ValueError as error:  # the picture of before stays
            self._message.text = html.escape(str(error))
            return
        self._show(view)
        self._code.value = write_python(self._explorer, self.values, self.switches)

    def _show(self, view: View) -> None:
        for name, panel in self._panels.items():
            panel.show(getattr(view, name))
        for name, source in self._curves.items():
            curves = getattr(view, name)
            source.data = {
                "xs": [curve[0] for curve in curves],
                "ys": [curve[1] for curve in curves],
            }
        values = self.values
        self._place.data = {
            "x": [values["source_center_x"]],
            "y": [values["source_center_y"]],
        }
        shown = view.snr[np.isfinite(view.snr)]
        self._message.text = (
            f"&chi;&sup2; per pixel {view.chi2_dof:.3g}; largest S/N of one more mass "
            f"{float(np.abs(shown).max()) if shown.size else 0.0:.3g}"
        )
        if self.switches.subhalo:
            seen = self._explorer.observation
            self._message.text += (
                f"; mass of the subhalo for redshifts {seen.z_lens:.4g} and {seen.z_source:.4g}"
            )

    def _set(self, values: dict[str, float]) -> None:
        """Move the sliders, without a picture for each."""
        self._busy = True
        for name, value in values.items():
            self._sliders[name].value = value
        self._busy = False
        self._refresh()

    def _fit(self) -> None:
        try:
            values, converged = self._explorer.fit(self.values, self.switches)
        except ValueError as error:
            self._message.text = html.escape(str(error))
            return
        self._set(values)
        self._message.text += "" if converged else "; the fit has not converged: fit again"

    def _reset(self) -> None:
        self._set(self._explorer.start)

    def _show_code(self) -> None:
        self._code.visible = True


def _explain_colours(name: str) -> str:
    """The numbers at both ends of the colours of a map."""
    return f"{-_LIMITS[name]:g} blue to {_LIMITS[name]:g} red"


def _slider(knob: Knob, moved: Callable[[str, float, float], None]) -> Slider:
    places = max(0, int(np.ceil(-np.log10(knob.step))))
    slider = Slider(
        start=knob.low, end=knob.high, value=knob.start, step=knob.step, title=knob.label,
        format=f"0.{'0' * min(places, 6)}", sizing_mode="stretch_width", name=knob.name,
    )  # fmt: skip
    slider.on_change("value", moved)
    return slider


def _figure(width: float, height: float, name: str) -> Any:
    """A frame of a map or of curves, without axes, so that its sides are in proportion."""
    made = figure(
        name=name, sizing_mode="scale_width", aspect_ratio=width / height, min_border=0,
        x_range=Range1d(start=-width / 2, end=width / 2),
        y_range=Range1d(start=-height / 2, end=height / 2),
        tools="pan,wheel_zoom,reset", toolbar_location=None,
    )  # fmt: skip
    made.axis.visible = False
    made.grid.visible = False
    return made
