"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network.

A Sphinx extension. It registers a renderer for the ``math`` nodes that MyST makes of ``$...$`` and
``$$...$$``.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def mathml(latex: str, display: str) -> str:
    """Return the MathML of a formula; ``display`` is ``inline`` or ``block``."""
    made = convert(latex, display=display)
    # The converter copies a command that it does not know.
    if "\\" in made:
        raise ExtensionError(f"no MathML for the formula {latex}")
    return str(made)


def _visit_inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode
