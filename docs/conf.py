"""The site: every Markdown page of the repository where it lies, the notebooks as committed, the docstrings.

The source folder is the repository's root (``make docs``), so that one relative link serves the site and a code host.
"""

from pathlib import Path

from cdc.provenance import __version__

project = "causalvlm"
author = "The causalvlm developers"
copyright = author  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "notebooks/*.ipynb"]
exclude_patterns = ["docs/site/**", "docs/figures/**", ".*", "out", "build", "dist", "**/.ipynb_checkpoints"]
templates_path = [str(Path(__file__).parent / "site" / "templates")]

# Markdown and notebooks: what is committed is shown, nothing runs.
nb_execution_mode = "off"
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

# The reference. Docstrings put code between single backticks.
default_role = "code"
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "set_fit_request, set_predict_request, set_predict_proba_request, set_score_request",
}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"causalvlm {release}"
html_extra_path = ["site/index.html"]
html_show_sourcelink = False
html_static_path = ["site/static"]
html_css_files = ["site.css"]
