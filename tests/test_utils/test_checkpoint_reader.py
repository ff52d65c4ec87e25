"""What a file of weights or a checkpoint may make the reader do: give tensors and plain values, nothing else."""
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_dg.utils.checkpoint_reader import CheckpointError, check_complete, read_checkpoint, read_weights
from mmseg_dg.utils.plain_arrays import PlainArray, restored
from mmseg_dg.utils.plain_values import same_when_plain, to_plain


def older_checkpoint():
    """What mmengine's hook writes, and this package's wrote before 0.3."""
    history = HistoryBuffer()
    for value in (1.5, 2.5):
        history.update(value)
    empty = HistoryBuffer()
    return dict(
        state_dict={'w': torch.ones(2)}, optimizer=dict(state={}, param_groups=[dict(lr=np.float64(0.1))]),
        param_schedulers=[dict(last_step=2)],
        message_hub=dict(log_scalars=OrderedDict(loss=history, empty=empty),
                         runtime_info=OrderedDict(eta=np.float32(3.)), resumed_keys=OrderedDict(loss=True)),
        meta=dict(iter=2, epoch=0, dataset_meta=ConfigDict(classes=('road', ), nested=dict(a=1)),
                  palette=np.arange(6, dtype='>i2').reshape(2, 3, order='F'), flags=np.array([True, False])))


class Call:
    """Pickles as a call of ``function``, with ``state`` for what follows."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call


def saved(path, content):
    torch.save(content, path)
    return path


def test_older_checkpoints_are_read_without_numpys_classes(tmp_path):
    path = saved(tmp_path / 'iter_2.pth', older_checkpoint())
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)  # no numpy class is callable from a file, in the whole process
    found = read_checkpoint(path)
    loss = found['message_hub']['log_scalars']['loss']
    assert type(loss) is HistoryBuffer and loss.statistics('mean') == 2.0 and loss.current() == 2.5
    loss.update(4.5)
    assert loss.max() == 4.5
    assert found['meta']['dataset_meta'] == dict(classes=('road', ), nested=dict(a=1))
    assert found['meta']['palette'].tolist() == older_checkpoint()['meta']['palette'].tolist()
    assert found['meta']['flags'].tolist() == [True, False]
    assert type(found['optimizer']['param_groups'][0]['lr']) is float
    check_complete(found, 'it')


def test_written_under_numpy_1(tmp_path):
    path = saved(tmp_path / 'iter_2.pth', older_checkpoint())
    renamed = tmp_path / 'numpy1.pth'
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(renamed, 'w') as target:
        for item in source.namelist():
            target.writestr(item, source.read(item).replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    assert read_checkpoint(renamed)['message_hub']['log_scalars']['loss'].current() == 2.5


def test_what_is_saved_now_needs_no_reader_of_ours(tmp_path):
    content = older_checkpoint()
    content['meta'].update(path=Path('a'), odd=object(), number=np.int64(3))
    to_plain(content)
    path = saved(tmp_path / 'iter_2.pth', content)
    plain = torch.load(path, weights_only=True)
    assert plain['meta']['number'] == 3 and 'odd' not in plain['meta'] and plain['meta']['path'] == 'a'
    assert plain['message_hub']['log_scalars']['loss']['values'].tolist() == [1.5, 2.5]
    loss = read_checkpoint(path)['message_hub']['log_scalars']['loss']
    assert type(loss) is HistoryBuffer and loss.mean() == 2.0
    assert loss.data[0].dtype == np.float64 and loss.data[1].dtype == older_checkpoint()[
        'message_hub']['log_scalars']['loss'].data[1].dtype
    assert same_when_plain(older_checkpoint()['meta']['dataset_meta'], plain['meta']['dataset_meta'])
    assert read_checkpoint(path, 'meta')['state_dict']['w'].is_meta


EMPTY = np.zeros(0).__reduce__()[0]
OBJECTS, FLOATS = (Call(np.dtype, kind, False, True, state=(3, '<', None, None, None, -1, -1, 0))
                   for kind in ('O8', 'f8'))


@pytest.mark.parametrize('attack, word', [
    (Call(os.system, 'touch hacked'), 'posix.system'),
    (Call(eval, '1'), 'eval'),
    (Call(open, 'hacked', 'w'), 'open'),
    (Call(np.load, 'hacked.npy', None, True), 'numpy'),
    (Call(getattr, np.ndarray, 'tofile'), "attribute 'tofile'"),
    (Call(np.ndarray, (4, ), 'f8'), 'array by itself'),
    (Call(EMPTY, np.ndarray, (0, ), b'b', state=(1, (1, ), OBJECTS, False, b'\x41' * 8)), "type 'O8'"),
    (Call(EMPTY, np.ndarray, (0, ), b'b', state=(1, (10**9, ), FLOATS, False, b'\0' * 8)), 'shape'),
    (Call(EMPTY, np.ndarray, (0, ), b'b', state=(1, (3, ), FLOATS, False, b'\0' * 8)), '3 f8 with 8 bytes'),
    (Call(EMPTY, np.ndarray, (0, ), b'b', state=(1, (-1, ), FLOATS, False, b'')), 'shape'),
    (Call(EMPTY, np.ndarray, (0, ), b'b', state=(1, (1, ), FLOATS, False, [1])), 'not bytes'),
    (Call(EMPTY, np.ndarray, (0, ), b'b'), 'without content'),
    (Call(np.dtype, 'f8', False, True, state=(3, '<', None, ('a', ), dict(a=(1, 0)), 8, 1, 0)), 'state'),
    (Call(HistoryBuffer, state=dict(_log_history=[1], _count_history=[1], max_length=3)), 'column of numbers'),
])
def test_hostile_files_are_refused_by_name(tmp_path, monkeypatch, attack, word):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / 'bad.pth', {'x': attack, 'state_dict': {}})
    for read in (read_checkpoint, read_weights):
        with pytest.raises(CheckpointError) as error:
            read(path)
        assert str(path) in str(error.value) and 'weights_only=False' not in str(error.value)
        if read is read_checkpoint:
            assert re.search(word, str(error.value)), error.value
    assert not (tmp_path / 'hacked').exists()


def test_a_file_cannot_change_the_statistics_of_histories(tmp_path):
    history = HistoryBuffer([1.], [1])
    history.__dict__['statistics_methods'] = {'mean': 'rewritten', 'current': None}

    class Hub:

        def __reduce__(self):
            return HistoryBuffer, (), dict(history.__dict__)

    before = dict(HistoryBuffer._statistics_methods)
    path = saved(tmp_path / 'x.pth', dict(message_hub=dict(log_scalars=dict(loss=Hub()))))
    loss = read_checkpoint(path)['message_hub']['log_scalars']['loss']
    assert before == HistoryBuffer._statistics_methods and loss.statistics('mean') == 1.


@pytest.mark.parametrize('address', ['openmmlab://resnet50_caffe', 'torchvision://resnet50', 'modelzoo://resnet50',
                                     'mmcls://mobilenet_v2', 'http://127.0.0.1:9/evil-12345678.pth'])
def test_addresses_lead_to_the_same_reader(tmp_path, monkeypatch, address):
    """A hostile file in torch's cache, as if it had been fetched."""
    import mmengine.runner.checkpoint as library
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'download_url_to_file',
                        lambda url, path, *a, **k: saved(path, {'x': Call(os.system, 'touch hacked')}))
    monkeypatch.setattr(library, 'get_torchvision_models', lambda: {'resnet50': 'https://x.invalid/resnet50.pth'})
    with pytest.raises(CheckpointError, match='refused'):
        CheckpointLoader.load_checkpoint(address)
    assert not (tmp_path / 'hacked').exists()


def test_unknown_addresses_say_so():
    with pytest.raises(ValueError, match='not read; fetch'):
        CheckpointLoader.load_checkpoint('pavi://some/model')
    with pytest.raises(ValueError, match='knows no'):
        CheckpointLoader.load_checkpoint('openmmlab://nothing_of_that_name')


def test_what_others_allowed_does_not_count(tmp_path):
    path = saved(tmp_path / 'x.pth', dict(a=np.zeros(2)))
    kinds = [np.ndarray, np.dtype, type(np.dtype('f8')), EMPTY]
    with torch.serialization.safe_globals(kinds):
        with pytest.raises(CheckpointError):
            read_weights(path)
        assert set(kinds) <= set(torch.serialization.get_safe_globals()), 'they are there again afterwards'


def test_every_flipped_byte_is_found_or_harmless(tmp_path):
    content = dict(state_dict={'w': torch.arange(64.)}, meta=dict(iter=3, text='abcdefgh' * 4))
    path = saved(tmp_path / 'good.pth', content)
    data = path.read_bytes()
    bad, found = tmp_path / 'bad.pth', 0
    for place in range(0, len(data), 7):
        bad.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1:])
        try:
            read = read_checkpoint(bad)
        except CheckpointError as error:
            assert str(bad) in str(error)
            found += 1
            continue
        assert torch.equal(read['state_dict']['w'], content['state_dict']['w']) and read['meta'] == content['meta']
    assert found > 50


def test_records_marked_as_folders_are_refused(tmp_path):
    path = saved(tmp_path / 'a.pth', dict(state_dict={'w': torch.arange(40.)}))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b'PK\x01\x02', 0, data.rindex(b'data/0'))  # of the archive's directory
    data[entry + 38] |= 0x10  # external attributes: torch's reader then hands over memory nobody wrote
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f'{path}: damaged, its record .*data/0 is marked as a folder'):
        read_checkpoint(path)


@pytest.mark.parametrize('share', [0., 0.01, 0.5, 0.9, 0.99])
def test_truncated_files_are_named(tmp_path, share):
    path = saved(tmp_path / 'x.pth', older_checkpoint())
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * share)])
    with pytest.raises(CheckpointError, match='x.pth'):
        read_checkpoint(path)


@pytest.mark.parametrize('data', [b'<html>404</html>' * 50, b'\x80\x02}q\x00.', b'version https://git-lfs.github.com',
                                  pickle.dumps([1] * 10, protocol=4), os.urandom(2000)])
def test_files_that_are_no_checkpoints(tmp_path, data):
    path = tmp_path / 'x.pth'
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match='x.pth'):
        read_checkpoint(path)


def test_containers_in_themselves_end(tmp_path):
    nest = []
    for _ in range(40):
        nest = [nest, nest]  # 2^40 paths
    loop = {}
    loop['self'] = loop
    assert len(read_checkpoint(saved(tmp_path / 'x.pth', dict(nest=nest, loop=loop)))['nest']) == 2


@pytest.mark.parametrize('part', ['meta', 'optimizer', 'param_schedulers', 'message_hub', 'state_dict'])
def test_a_checkpoint_that_lacks_a_part_is_refused_by_name(part):
    content = older_checkpoint()
    del content[part]
    with pytest.raises(CheckpointError, match=f'it.pth has no {part}.*--resume-weights-only'):
        check_complete(content, 'it.pth')


def test_a_checkpoint_without_its_iteration():
    content = older_checkpoint()
    content['meta'] = dict(epoch=0)
    with pytest.raises(CheckpointError, match='meta.iter'):
        check_complete(content, 'it.pth')


def test_a_bad_file_in_the_folder_does_not_end_the_list_of_weights(tmp_path):
    from mmseg_dg.weights.files import Problem
    from mmseg_dg.weights.preparation import prepare, table_rows
    (tmp_path / 'mit_b0.pth').write_bytes(b'\x80\x02' * 50)
    saved(tmp_path / 'mit_b1.pth', {'x': Call(os.system, 'true')})
    rows = {name: (state, what) for name, state, what in table_rows(tmp_path)}
    assert rows['mit_b0'][0] == rows['mit_b1'][0] == 'unusable' and rows['mit_b5'][0] == 'missing'
    assert 'mit_b0.pth' in rows['mit_b0'][1] and 'refused' in rows['mit_b1'][1]
    for name in ('mit_b0', 'mit_b1'):
        with pytest.raises(Problem, match=f'{name}.pth'):
            prepare(name, tmp_path)


def test_safetensors_go_where_they_are_asked_for(tmp_path):
    from safetensors.torch import save_file
    save_file(dict(w=torch.ones(2)), tmp_path / 'w.safetensors')
    assert read_weights(tmp_path / 'w.safetensors', map_location='meta')['w'].is_meta
    assert torch.equal(read_weights(tmp_path / 'w.safetensors')['w'], torch.ones(2))


def test_a_tuple_that_a_file_holds_twice_is_restored_twice():
    array = PlainArray()
    array.array = np.arange(2.)
    shared = (array, )
    found = restored({'a': shared, 'b': [shared]})
    assert found['a'][0] is array.array and found['b'][0][0] is array.array


def test_what_cannot_be_made_plain_equals_nothing():
    assert not same_when_plain(object(), None) and same_when_plain(None, None)


def test_an_archive_of_torchscript_is_called_so(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / 'net.pt')
    with pytest.raises(CheckpointError, match='TorchScript archive'):
        read_checkpoint(tmp_path / 'net.pt')


@pytest.mark.parametrize('local_rank', [0, 1])
def test_the_first_process_of_each_machine_fetches(tmp_path, monkeypatch, local_rank):
    """Another machine's first process is not process 0 of all, and has no file yet."""
    import mmengine.dist
    fetched = []
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(mmengine.dist, 'get_local_rank', lambda: local_rank)
    monkeypatch.setattr(mmengine.dist, 'get_dist_info', lambda: (8 + local_rank, 16))
    monkeypatch.setattr(torch.hub, 'download_url_to_file',
                        lambda url, path, *a, **k: fetched.append(saved(Path(path), {'x': torch.ones(1)})))
    if local_rank == 0:
        assert CheckpointLoader.load_checkpoint('http://127.0.0.1:9/net-12345678.pth')['x'] == 1
    else:
        with pytest.raises((CheckpointError, FileNotFoundError)):  # here nobody fetches for it
            CheckpointLoader.load_checkpoint('http://127.0.0.1:9/net-12345678.pth')
    assert len(fetched) == 1 - local_rank
