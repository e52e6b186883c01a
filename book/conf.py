"""Settings of the book; `make book` builds it into book/_build/html, without any request to another host.

The pages that the package itself can write (notebooks, reference, results, the oracle) are written into
book/generated before Sphinx reads anything, see `generate.py`.
"""

import sys
from importlib.metadata import files
from pathlib import Path
from shutil import copyfile
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import beside  # noqa: E402
import docstrings  # noqa: E402
import generate  # noqa: E402

from locoprop_ref import __version__  # noqa: E402

# The public address of the repository, such as "https://github.com/NAME/locoprop-ref". As long as it is
# empty, notebooks have no Binder and Colab buttons, and files outside the book are named but not linked.
repository = ""
repository_branch = "main"

project = "locoprop-ref"
author = "the locoprop-ref authors"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

nb_execution_mode = "off"  # the notebooks are stored with their outputs; `make notebooks` executes them
nb_render_markdown_format = "myst"  # outputs have tables, which CommonMark does not know
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", 1000)]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say shapes, which the types of arrays cannot
autodoc_preserve_defaults = True
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = "locoprop-ref"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"derivations/*": [], "index": []}  # room for two columns
html_context = {"default_mode": "auto"}
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"generated/**": ["page-toc"], "howto/*": ["page-toc"]},
    "show_toc_level": 2,
    "navigation_with_keys": False,
}

# the file of the package sphinx-mathjax-offline that needs neither fonts nor further files
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"svg": {"fontCache": "local"}, "options": {"enableMenu": False}}


def _copy_mathjax(app: Any, exception: Exception | None) -> None:
    """Copy MathJax beside the pages."""
    if exception is None and app.builder.format == "html":
        (source,) = (
            file
            for file in files("sphinx-mathjax-offline") or ()
            if file.parts[-2:] == ("mathjax", "tex-svg.js")
        )
        target = Path(app.outdir) / "_static" / mathjax_path
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(source.locate(), target)


def setup(app: Any) -> dict[str, bool]:
    """Write the generated pages, and add the directives of the book."""
    app.add_config_value("repository", "", "html")
    app.add_config_value("repository_branch", "main", "html")
    app.connect(
        "builder-inited", lambda app: generate.write(app.config.repository, app.config.repository_branch)
    )
    app.connect("build-finished", _copy_mathjax)
    docstrings.setup(app)
    beside.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
