"""How ``sphinx-build docs docs/_build`` makes a site of these pages, which read as well where they lie."""

import importlib.util
import os
import sys
import tomllib
from pathlib import Path

import django
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # for the settings, and for pytest_multidb where only the wheel is installed
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

_package = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]

project = "multidb"
author = "the authors of multidb"
version = release = _package["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"multidb {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False

myst_heading_anchors = 4  # as a code host has them
suppress_warnings = ["myst.header"]  # the changelog is included below a heading of its own

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
# Of Django 6.0 and later, without which multidb.contrib.tasks cannot be imported.
autodoc_mock_imports = [] if importlib.util.find_spec("django.tasks") else ["django.tasks"]

# Every reference has to lead somewhere, but for names that are not ours.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!multidb|pytest_multidb).*")]

# The files beside this folder to which pages lead, and the page of the site that has each.
PAGE_OF = {"CHANGELOG": "changelog", "CONTRIBUTING": "contributing", "SECURITY": "reporting"}


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", _lead_to_pages)


def _lead_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    for link in doctree.findall(pending_xref):
        page = PAGE_OF.get(Path(link["reftarget"]).stem)
        if page is not None:
            link.attributes.update(refdomain="doc", reftarget=page, reftargetid=None)
