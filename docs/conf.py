"""Settings of the documentation site: ``sphinx-build --fail-on-warning docs site``. Nothing is fetched."""

from catran_causalbench import __version__

project = "catran-causalbench"
author = "the catran-causalbench contributors"
copyright = f"{author}; Apache-2.0"
release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the tests execute the tutorials
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"catran-causalbench {release}"
html_show_sourcelink = False
html_copy_source = False
