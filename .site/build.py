"""Builds the reference: `python .site/build.py FOLDER` writes a page per module, the notebooks and the project's pages.

Warnings are errors: what cannot be imported, read or linked stops the build.
"""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import nbformat
import pdoc
from markupsafe import Markup
from nbconvert import HTMLExporter
from pdoc.render_helpers import to_html

ROOT = Path(__file__).parents[1]
MODULES = (
    "funcdl",
    "funcdl.transforms",
    "funcdl.tree",
    "funcdl.random",
    "funcdl.nn",
    "funcdl.nn.initializers",
    "funcdl.losses",
    "funcdl.metrics",
    "funcdl.optim",
    "funcdl.optim.schedules",
    "funcdl.models",
    "funcdl.data",
    "funcdl.interop",
    "funcdl.train",
    "funcdl.testing",
)
PAGES = ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")
HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }}
pre {{ background: #f5f7fa; padding: .8em; overflow-x: auto }} code {{ font-size: .92em }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ border: 1px solid #ccc; padding: .3em .6em }}
nav {{ margin-bottom: 1.5em }} a {{ color: #0072B2 }}
</style></head>
<body><nav><a href="index.html">Reference</a></nav>
{body}
</body>
</html>
"""


def build(folder: Path) -> None:
    """Writes the whole site into `folder`."""
    warnings.simplefilter("error")
    # pdoc does not know where a NamedTuple's fields were annotated, and writes the annotation as it stands.
    warnings.filterwarnings("ignore", r"Error parsing type annotation ForwardRef\(.* for funcdl\.\w+\.\w+\.__init__")
    folder.mkdir(parents=True, exist_ok=True)
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        (folder / f"{path.stem}.html").write_text(_notebook(path))
    for name in PAGES:
        (folder / f"{name}.html").write_text(_page(name))
    pdoc.render.configure(docformat="google", math=True, show_source=False, footer_text="funcdl")
    only_these = [spec for module in MODULES for spec in (module, f"!{re.escape(module)}\\..*")]  # not what they hold
    pdoc.pdoc(*only_these, output_directory=folder)
    (folder / "index.html").write_text(_index(notebooks))


def _notebook(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(template_name="basic", exclude_anchor_links=True).from_notebook_node(notebook)
    return HTML.format(title=path.stem, body=_linked(body))


def _page(name: str) -> str:
    return HTML.format(title=name, body=_linked(to_html((ROOT / f"{name}.md").read_text())))


def _linked(body: str) -> Markup:
    """Links to files of the repository that the site has, too, lead to its pages."""
    return Markup(re.sub(r'href="(?:notebooks/)?([\w.-]+)\.(md|ipynb)"', r'href="\1.html"', body))


def _index(notebooks: list[Path]) -> str:
    lines = ["# funcdl", "", "Deep learning in pure functions, on PyTorch: [how to begin](README.html).", ""]
    lines += ["## Reference", "", *map(_module_line, MODULES), "", "## Notebooks", ""]
    lines += [f"- [{_heading(path)}]({path.stem}.html)" for path in notebooks]
    lines += ["", "## About the project", "", *(f"- [{name.title()}]({name}.html)" for name in PAGES[1:])]
    return HTML.format(title="funcdl", body=to_html("\n".join(lines)))


def _module_line(name: str) -> str:
    doc = pdoc.doc.Module.from_name(name).docstring
    return f"- [`{name}`]({name.replace('.', '/')}.html): {' '.join(doc.partition(chr(10) * 2)[0].split())}"


def _heading(path: Path) -> str:
    return nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0].removeprefix("# ")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
