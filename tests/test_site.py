"""The reference is built without warnings, and each link within it leads somewhere, in a browser too."""

import html.parser
import importlib.util
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[1]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("build_site", ROOT / ".site" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("site")
    module.build(folder)
    return folder, module


def broken(folder, text_of):
    """The links from a page to nowhere, as pairs."""
    pages = {path.resolve(): Page(text_of(path)) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(link)
            if ":" in target:  # outside
                continue
            to = (path.parent / unquote(target)).resolve() if target else path
            if to not in pages or (anchor and unquote(anchor) not in pages[to].anchors):
                found.append((path.name, link))
    return found


def test_each_module_each_notebook_and_each_page_is_there(site):
    folder, module = site
    expected = {f"{name.replace('.', '/')}.html" for name in module.MODULES}
    expected |= {f"{path.stem}.html" for path in (ROOT / "notebooks").glob("*.ipynb")}
    expected |= {f"{name}.html" for name in module.PAGES}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.html")}
    assert expected <= found
    index = Page((folder / "index.html").read_text())
    assert expected <= set(index.links)


def test_the_names_of_a_module_are_on_its_page(site):
    from funcdl import losses

    folder, _ = site
    assert set(losses.__all__) <= Page((folder / "funcdl" / "losses.html").read_text()).anchors


def test_every_link_within_leads_somewhere(site):
    assert broken(site[0], Path.read_text) == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium to look at the pages with")
def test_in_a_browser_every_link_leads_somewhere(site):
    def rendered(path):
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    assert broken(site[0], rendered) == []
