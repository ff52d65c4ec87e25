"""Settings of the documentation site: Sphinx with MyST, the furo theme, API pages from the docstrings.

``make docs`` builds it into build/docs, warnings as errors. Pages are the Markdown files beside this one, which read
the same on a code host; nothing is fetched.
"""
import os
import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')  # docstrings need no GPU
warnings.filterwarnings('ignore')  # of libraries that autodoc imports; Sphinx's own are no Python warnings

from mmseg_dg.version import __version__  # noqa: E402

project = 'mmseg_dg'
author = 'the authors of mmseg_dg'
release = version = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
source_suffix = {'.md': 'markdown'}
exclude_patterns = ['benchmarks/rows/**']  # result rows of runs, read by tools

myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4  # the anchors a code host makes, so that links work on both

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_default_options = {'members': True, 'show-inheritance': False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of named tuples are documented once

html_theme = 'furo'
html_title = f'mmseg_dg {__version__}'
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False


# ---- links out of docs/: on a code host they lead to the file; here to its page, or they hand the file out
_PAGES = {'README.md': 'overview.md', 'CHANGELOG.md': 'changelog.md',
          **{f'configs/{file.parent.name}/README.md': f'configs/{file.parent.name}.md'
             for file in (ROOT / 'configs').glob('*/README.md')}}
_LINK = re.compile(r'(?P<image>!?)\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)')
_INCLUDE = re.compile(r'^```\{include\} (\S+)\n(?::start-line: (\d+)\n)?```$', flags=re.M)


def _rebased(text: str, written_in: Path, shown_in: Path) -> str:
    """Text of a file in ``written_in`` with its links as a page in ``shown_in`` must write them."""
    docs = ROOT / 'docs'

    def changed(link: re.Match) -> str:
        target = link['target']
        file = (written_in / target).resolve()
        if '://' in target or (written_in == shown_in and docs in file.parents):
            return link[0]
        if docs not in file.parents and str(file.relative_to(ROOT)) in _PAGES:
            file = docs / _PAGES[str(file.relative_to(ROOT))]
        path = Path(os.path.relpath(file, shown_in)).as_posix()
        if docs in file.parents:
            return f'{link["image"]}[{link["text"]}]({path}{link["anchor"] or ""})'
        return f'{{download}}`{link["text"].strip("`")} <{path}>`'

    return _LINK.sub(changed, text)


def _adapt_links(app, docname: str, source: list) -> None:
    folder = (Path(app.srcdir) / docname).parent

    def included(block: re.Match) -> str:
        file = (folder / block[1]).resolve()
        if not file.is_file():  # shown as an example inside a longer fence; of a real one MyST warns
            return block[0]
        lines = file.read_text(encoding='utf-8').splitlines(keepends=True)[int(block[2] or 0):]
        return _rebased(''.join(lines), file.parent, folder)

    source[0] = _INCLUDE.sub(included, _rebased(source[0], folder, folder))


def setup(app) -> None:
    app.connect('source-read', _adapt_links)
