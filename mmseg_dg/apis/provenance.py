"""What a result was made with: commit of the sources, versions of what decides the numbers."""
import functools
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mmseg_dg.version import __version__

#: Distributions as pip calls them; the onedl-* ones are forks of the OpenMMLab libraries.
_LIBRARIES = ('torch', 'numpy', 'mmengine', 'mmcv-lite', 'mmsegmentation', 'onedl-mmengine',
              'onedl-mmcv', 'onedl-mmsegmentation')


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what decides the numbers: this package, Python and the installed libraries."""
    found = dict(mmseg_dg=__version__, python='.'.join(map(str, sys.version_info[:3])))
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> str:
    """The first 12 digits of the commit of the sources, ``+`` behind them where tracked files were
    changed since; '' for an installed package.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / '.git').exists():
        return ''
    head = _git(root, 'rev-parse', 'HEAD')
    changed = _git(root, 'status', '--porcelain', '-uno')  # -uno: without untracked files
    return f'{head[:12]}{"+" if changed else ""}' if head else ''


def _git(root: Path, *words: str) -> str:
    """What a git command prints; '' where it fails or there is no git."""
    try:
        done: Any = subprocess.run(['git', '-C', str(root), *words], capture_output=True, text=True,
                                   timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
