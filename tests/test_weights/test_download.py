"""``prepare-weights NAME --download``: https only, the whole checksum, the safe reader, whole or not at all."""
import hashlib
import http.server
import io
import runpy
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from mmseg_dg.registry import MODELS
from mmseg_dg.weights import download as fetching
from mmseg_dg.weights.files import Problem

ROOT = Path(__file__).resolve().parents[2]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; ``/moved/NAME?URL`` leads to another address, ``/short`` breaks off."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith('/moved/'):
            self.send_response(302)
            self.send_header('Location', self.path.partition('?')[2])
            self.end_headers()
            return
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header('Content-Length', str(len(data) * (2 if self.path == '/short.pth' else 1)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    if shutil.which('openssl') is None:
        pytest.skip('no openssl on this machine, which makes the certificate of the local server')
    folder = tmp_path_factory.mktemp('certificate')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                    '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout',
                    str(folder / 'key.pem'), '-out', str(folder / 'cert.pem')], check=True, capture_output=True)
    return folder


@pytest.fixture
def server(certificate):
    """A local https server: ``server.files`` by path, ``server.at``, ``server.trust``."""
    served = http.server.ThreadingHTTPServer(('localhost', 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / 'cert.pem', certificate / 'key.pem')
    served.socket = context.wrap_socket(served.socket, server_side=True)
    served.files, served.asked = {}, []
    served.at = f'https://localhost:{served.server_address[1]}'
    served.trust = ssl.create_default_context(cafile=certificate / 'cert.pem')
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def as_bytes(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def known(monkeypatch, url, data, **more):
    """The table with one entry, ``it``, at an address."""
    entry = dict(file='pretrained/it.pth', layout='mobilenet_v2', sha256=[hashlib.sha256(data).hexdigest()], url=url,
                 source='its authors', candidates=['it-*.pth'], backbone=dict(type='MobileNetV2', widen_factor=0.1))
    table = dict(it=dict(entry, **more))
    for module in ('download', 'preparation'):
        monkeypatch.setattr(f'mmseg_dg.weights.{module}.weights_table', lambda: table)


@pytest.fixture(scope='module')
def encoder():
    torch.manual_seed(0)
    return MODELS.build(dict(type='MobileNetV2', widen_factor=0.1, init_cfg=None)).state_dict()


def test_a_known_file_is_fetched_once_and_converted(server, encoder, tmp_path, monkeypatch, capsys):
    data = as_bytes(encoder)
    server.files['/it-1234.pth'] = data
    known(monkeypatch, f'{server.at}/moved/it-1234.pth?{server.at}/it-1234.pth', data)  # redirected, to https
    monkeypatch.setattr(fetching.ssl, 'create_default_context', lambda: server.trust)
    tool = str(ROOT / 'tools/prepare_weights.py')
    for _ in range(2):
        monkeypatch.setattr(sys, 'argv', [tool, 'it', '--download', '--folder', str(tmp_path / 'new')])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(tool, run_name='__main__')
        assert left.value.code == 0, capsys.readouterr().err
        known(monkeypatch, f'{server.at}/it-1234.pth', data)
    assert 'is ready' in capsys.readouterr().out
    fetched, made = tmp_path / 'new/it-1234.pth', tmp_path / 'new/it.pth'
    assert sorted((tmp_path / 'new').iterdir()) == [fetched, made] and fetched.read_bytes() == data
    assert set(torch.load(made, weights_only=True)) == set(encoder)
    assert len(server.asked) == 2, 'redirection and file; the second time it is there'


def refused(monkeypatch, tmp_path, text, server, url='', data=b'', **more):
    known(monkeypatch, f'{server.at}/it.pth' if url == '' else url, data, **more)
    with pytest.raises(Problem, match=text):
        fetching.download('it', tmp_path / 'folder', server.trust)
    assert not list((tmp_path / 'folder').glob('*')) + list((tmp_path / 'folder').glob('.*')), 'something was kept'


def test_what_is_not_fetched(server, encoder, tmp_path, monkeypatch):
    data = as_bytes(encoder)
    server.files.update({'/it.pth': data, '/short.pth': data[:1000]})
    plain = server.at.replace('https', 'http')
    refuse = lambda text, **more: refused(monkeypatch, tmp_path, text, server, **{'data': data, **more})  # noqa: E731
    refuse('only https addresses are', url=f'{plain}/it.pth')
    refuse('only https addresses are', url='file:///etc/hostname')
    assert not server.asked
    refuse('only https addresses are', url=f'{server.at}/moved/it.pth?{plain}/it.pth')
    refuse('whole SHA-256 is not known', sha256=['0676ba61'])
    refuse('whole SHA-256 is not known', sha256=None)
    refuse('whole SHA-256 is not known', url=None)
    refuse('known is 00000000.*Nothing was kept', sha256=['0' * 64])
    refuse('cut off, or another file|connection broke', url=f'{server.at}/short.pth')
    refuse('Not Found', url=f'{server.at}/gone.pth')
    monkeypatch.setattr(fetching, 'MOST_BYTES', 10)
    refuse('more than 10 bytes arrived')


def test_a_server_nobody_vouches_for_is_not_trusted(server, encoder, tmp_path, monkeypatch):
    data = as_bytes(encoder)
    server.files['/it.pth'] = data
    known(monkeypatch, f'{server.at}/it.pth', data)
    with pytest.raises(Problem, match='CERTIFICATE_VERIFY_FAILED'):
        fetching.download('it', tmp_path)
    assert not list(tmp_path.iterdir())


class Trap:
    def __reduce__(self):
        return print, ('called', )


def test_the_right_checksum_does_not_let_code_in(server, tmp_path, monkeypatch):
    data = as_bytes(dict(weight=Trap()))
    server.files['/it.pth'] = data
    refused(monkeypatch, tmp_path, 'refused: .*Nothing was kept', server, data=data)


def test_another_file_of_that_name_is_not_touched(server, encoder, tmp_path, monkeypatch):
    known(monkeypatch, f'{server.at}/it-1.pth', as_bytes(encoder))
    (tmp_path / 'it-1.pth').write_bytes(b'mine')
    with pytest.raises(Problem, match='is there with another SHA-256: move it away'):
        fetching.download('it', tmp_path, server.trust)
    assert (tmp_path / 'it-1.pth').read_bytes() == b'mine' and not server.asked


def test_the_table_says_which_can_be_fetched(tmp_path):
    with pytest.raises(Problem, match='These can be: resnet50, resnet101, dinov2_small'):
        fetching.download('mit_b5', tmp_path / 'x')
    with pytest.raises(Problem, match='there is no mit_b7'):
        fetching.download('mit_b7', tmp_path / 'x')
    assert not (tmp_path / 'x').exists()
    tool = str(ROOT / 'tools/prepare_weights.py')
    for words in (['--download'], ['it', '--download', '--source', 'x']):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(sys, 'argv', [tool, *words])
            runpy.run_path(tool)['parse_args']()
