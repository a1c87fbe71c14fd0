# SPDX-License-Identifier: Apache-2.0
"""Sphinx settings. `make docs` in the repository's root builds with warnings as errors; `make html` here builds too."""

import os
import pathlib
import re

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "Sources/Common/BuildInfo.swift"
# One place for the address of the project: whoever publishes the site elsewhere sets PROJECT_URL.
PROJECT = os.environ.get("PROJECT_URL", "https://github.com/go-mesh/mesher").rstrip("/")

project = "mesher"
author = "the mesher authors"
copyright = "the mesher authors, Apache License 2.0"
# One place for the version: the program's own.
release = re.search(r'sourceVersion = "(.+?)"', SOURCE.read_text(encoding="utf-8"))[1]
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "text"

myst_enable_extensions = ["deflist", "tasklist"]
myst_heading_anchors = 3

html_theme = "sphinx_rtd_theme"
html_title = f"mesher {release}"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["pages.css"]
html_show_sphinx = False


def link_to_sources(app, docname, content):
    """Pages name files of the repository relative to themselves, `](../examples/grpc)`; on the site such a link leads to
    the project."""
    content[0] = re.sub(r"\]\(\.\./([^)\s]+)\)", rf"]({PROJECT}/tree/main/\1)", content[0])


def setup(app):
    app.connect("source-read", link_to_sources)
