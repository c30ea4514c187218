from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "csstcore"
author = "The csstcore developers"
copyright = author
version = release = installed_version("csstcore")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "command_line",
    "proposed",
]
myst_enable_extensions = ["deflist", "colon_fence", "fieldlist"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
add_module_names = False
python_maximum_signature_line_length = 110
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = f"csstcore {release}"
html_static_path = ["_static"]
html_css_files = ["csstcore.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {
    name: [] for name in ("index", "quick_start", "concepts", "cli", "api", "instrument")
}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
}
