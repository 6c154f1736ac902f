"""Configuration of the website that scripts/docs.sh builds with Sphinx.

The source folder is the root of the repository, so pages and notebooks are read where they lie, and a link that works
in the repository works on the website. Navigation is made of the links in docs/index.md. Nothing is fetched from the
network, neither when the website is built nor when it is read.
"""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]

project = "visual-attention"
copyright = "2026, the visual-attention maintainers"
html_title = "Action recognition using visual attention"
root_doc = "README"
include_patterns = ["*.md", "docs/**", "data_lists/README.md", "tests/data/README.md", "scripts/*.ipynb"]
exclude_patterns = [".*", "build", "data", "runs", "site"]  # large folders, which need not be searched

extensions = ["myst_nb", "autodoc2"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # headings have the anchors that GitHub gives them
html_theme = "furo"
html_math_renderer = "mathml"  # browsers show it without a script
html_copy_source = False

# The reference is made of docstrings by reading the source files; the package is not imported.
autodoc2_packages = [
    {"path": "src", "module": "visual_attention"},
    {"path": "util", "module": "visual_attention.util"},
]
autodoc2_skip_module_regexes = [r".*\.__main__"]
autodoc2_output_dir = "docs/api"
autodoc2_docstring_parser_regexes = [(".*", "myst")]
autodoc2_hidden_objects = {"private", "dunder", "inherited", "undoc"}
suppress_warnings = ["autodoc2.dup_item"]  # a constant may be made in two assignments

LINK = re.compile(r"\]\(([^):#]+)\.(?:md|ipynb)\)")
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def toctrees(page):
    """Navigation of the pages that a Markdown page links: a hidden toctree for each of its sections."""
    trees = []
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        linked = [(page.parent / path).resolve().relative_to(ROOT).as_posix() for path in LINK.findall(text)]
        trees.append(toctree(heading.removeprefix("# "), [path for path in linked if path != root_doc]))
    return "".join(trees)


def toctree(caption, paths):
    lines = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *(f"/{path}" for path in paths), "```"]
    return "\n\n" + "\n".join(lines) + "\n" if paths else ""


def add_navigation(app, docname, source):
    if docname == root_doc:
        source[0] += toctree("Overview", ["docs/index"]) + toctrees(ROOT / "docs" / "index.md")
        source[0] += toctree("Reference", ["docs/api/index"])
    elif docname == "docs/tutorial/README":
        source[0] += toctrees(ROOT / "docs" / "tutorial" / "README.md")


def write_math(self, node):
    self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def check_nothing_is_fetched(app, error):
    """An error if a page loads a script, a style, a font or a picture from the network."""
    for page in Path(app.outdir).rglob("*.html"):
        if not error and (fetched := FETCHED.search(page.read_text(encoding="utf-8"))):
            raise ExtensionError(f"{page}: fetches {fetched[0]}; expected a page that needs no network")


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("source-read", add_navigation)
    app.connect("build-finished", check_nothing_is_fetched)
