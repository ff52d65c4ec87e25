"""Fetching a known weight file when a person asks for it: ``prepare-weights NAME --download``.

Nothing else in this package calls it. The address and the whole SHA-256 stand in
``configs/_base_/weights.py``; what arrives is looked at by the safe reader before it gets its name.
"""
import hashlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO, Optional

from mmseg_dg.utils.atomic_files import written_whole
from mmseg_dg.utils.checkpoint_reader import CheckpointError, read_weights

from .files import Problem, sha256_of, weights_table
from .preparation import only_one

#: No known file is larger (DINOv2 giant: 4.5 GB).
MOST_BYTES = 8 * 2**30
_TIMEOUT, _PIECE = 60, 2**20  # seconds without an answer; bytes read at a time


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirection of the server only to an https address."""
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any,
                         newurl: str) -> Any:
        refuse_other_schemes(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def refuse_other_schemes(url: str) -> None:
    """Refuse an address that is not of https: others can be changed on the way.

    Raises:
        Problem: Any other scheme.
    """
    if urllib.parse.urlsplit(url).scheme != 'https':
        raise Problem(f'{url} is not fetched: only https addresses are')


def may_be_fetched(entry: dict) -> bool:
    """Whether an entry of the table of weights has an address and a whole SHA-256: 64 digits, of
    which many entries have only the first.
    """
    return bool(entry.get('url')) and any(len(known) == 64 for known in entry['sha256'] or ())


def download(name: str, folder: Path, context: Optional[ssl.SSLContext] = None) -> Path:
    """Fetch one file of the table into ``folder``, whole or not at all.

    A file of that name with that checksum is not fetched again; another one of that name is not
    touched.

    Args:
        name: A name of the table.
        folder: Made if it is not there.
        context: Certificates to trust; None: the system's.

    Returns:
        The fetched file, for :func:`~mmseg_dg.weights.preparation.prepare`.

    Raises:
        Problem: Unknown name; an entry without address or whole SHA-256; another scheme than https;
            the server's error; another checksum; a file that is no weights.
        OSError: It cannot be written.
    """
    table = weights_table()
    if name not in table:
        raise Problem(f'there is no {name}; known are {", ".join(table)}')
    entry = table[name]
    if not may_be_fetched(entry):
        some = ', '.join(other for other, one in table.items() if may_be_fetched(one))
        raise Problem(
            f'is not fetched, since its whole SHA-256 is not known here, by which it could '
            f'be checked. Fetch it by hand: {entry["source"]}. These can be: {some}')
    url = entry['url']
    refuse_other_schemes(url)
    # the whole one is of the file at the address; others are of other releases
    known = next(digest for digest in entry['sha256'] if len(digest) == 64)
    target = folder / Path(urllib.parse.urlsplit(url).path).name
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder):
        if not target.exists():
            _fetch(url, target, known, context)
        elif sha256_of(target) != known:
            raise Problem(f'{target} is there with another SHA-256: move it away first')
    return target


def _fetch(url: str, target: Path, known: str, context: Optional[ssl.SSLContext]) -> None:
    """Download a file over HTTPS; ``target`` appears only if its SHA-256 is ``known`` and the safe
    reader takes it.

    Raises:
        Problem: The server's error, a broken connection, another SHA-256, or a file that is no
            weights.
    """
    opener = urllib.request.build_opener(
        _HttpsOnly(), urllib.request.HTTPSHandler(context=context or ssl.create_default_context()))
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer, written_whole(target) as part:
            with open(part, 'wb') as file:
                found = _copy(answer, file)
            if found != known:
                raise Problem(f'{url}: what arrived has the SHA-256 {found[:8]}..., known is '
                              f'{known[:8]}...: cut off, or another file. Nothing was kept')
            read_weights(part)  # raises where it is no file of weights
    except CheckpointError as error:
        raise Problem(f'{url}: {error}. Nothing was kept') from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise Problem(
            f'{url}: {getattr(error, "reason", None) or error}. Nothing was kept') from error


def _read(answer: BinaryIO) -> bytes:
    """The next piece of an answer, empty at its end; a broken connection becomes a
    :class:`Problem`.
    """
    try:
        return answer.read(_PIECE)
    # caught here, where an OSError is of the network; that of a full disk comes from the writing
    except (OSError, http.client.HTTPException) as error:
        raise Problem(f'the connection broke ({error}). Nothing was kept') from error


def _copy(answer: BinaryIO, file: BinaryIO) -> str:
    """Write what arrives; returns its SHA-256. Problem where more arrives than any known file has.
    """
    digest, size = hashlib.sha256(), 0
    while piece := _read(answer):
        size += len(piece)
        if size > MOST_BYTES:
            raise Problem(f'more than {MOST_BYTES} bytes arrived: given up. Nothing was kept')
        file.write(piece)
        digest.update(piece)
    return digest.hexdigest()
