"""Settings of the site; `make docs` builds it. See `pages.py` for the pages made of the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import lensphys

project = "lensphys"
author = copyright = "the lensphys authors"
version = release = lensphys.__version__

extensions = [
    "myst_nb",  # which is myst_parser for pages without cells
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "pages",
]
exclude_patterns = ["_build", "generated/tables"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"  # notebooks hold their outputs: see run_notebooks.py
highlight_language = "text"  # of blocks that name no language

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # links such as fitting.md#what-is-fitted
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
add_module_names = False

# A reference that leads nowhere is an error. Types of other packages cannot be looked up offline;
# names without their module, and modules whose content is documented under its short name, such as
# `lensphys.SIE`, are checked by `tests/docs/test_references.py`.
nitpicky = True
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(torch|numpy|astropy|collections|contextlib|datetime|pathlib|typing|np|pytorch_lightning"
        r"|matplotlib|bokeh|pydantic|types|h5py|typer|rich|sklearn|tqdm|timm|jinja2)\b.*",
    ),
    # Aliases and type variables, of which the signature shows what they stand for.
    (
        "py:.*",
        r"(.*\.)?(Parameter|Cosmology|Number|Area|Distances|Light|Shape|Vector|Order|Kind|FLRW"
        r"|Tensor|NDArray|Array|Figure|Path|WCS|Pixels|Projection|Seen|Item|Result|Rows|Components"
        r"|FieldInfo|NoneType|Header|[A-Z]\w*T)",
    ),
    ("py:class", r".*\[.*"),
    ("py:(func|meth|attr|data|exc)", r"\w+(\.\w+)?"),
    ("py:(mod|func|meth|class|data)", r"lensphys(\.(mass|light|fitting|detection)\b.*)?"),
]

html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div:not(.output) > div.highlight pre"  # not on what a cell has printed
html_theme = "furo"
html_title = "lensphys"
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
