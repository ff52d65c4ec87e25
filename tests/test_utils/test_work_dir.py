"""Which checkpoint a work dir goes on from, and what may be started in it."""
import os

import pytest
import torch

from mmseg_dg.utils import atomic_files
from mmseg_dg.utils.checkpoint_reader import CheckpointError
from mmseg_dg.utils.work_dir import (
    lying_in,
    newest_loadable,
    read_pointer,
    refuse_to_mix,
    remove_run,
    write_pointer,
)

COMPLETE = dict(meta=dict(iter=1, epoch=0), state_dict={'w': torch.zeros(2)}, optimizer={}, param_schedulers=[],
                message_hub={})


def put(folder, name, time=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({key: value for key, value in dict(COMPLETE, **changes).items() if value is not None}, folder / name)
    if time is not None:
        os.utime(folder / name, (time, time))
    return folder / name


@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr('mmseg_dg.utils.work_dir.print_log', lambda text, **_: found.append(text))
    return found


def test_an_empty_folder_has_none(tmp_path):
    assert newest_loadable(tmp_path) is None and newest_loadable(tmp_path / 'absent') is None
    refuse_to_mix(tmp_path)


def test_the_newest_by_number_without_a_pointer(tmp_path):
    for step in (10, 9, 100):
        put(tmp_path, f'iter_{step}.pth')
    put(tmp_path, 'best_day_mIoU_iter_200.pth', optimizer=None)
    assert newest_loadable(tmp_path).name == 'iter_100.pth'


@pytest.mark.parametrize('damage', ['empty', 'cut', 'flipped', 'no optimizer', 'no schedules', 'no meta', 'hostile'])
def test_unusable_ones_are_skipped_and_named(tmp_path, said, damage):
    put(tmp_path, 'iter_1.pth')
    part = {'no optimizer': 'optimizer', 'no schedules': 'param_schedulers', 'no meta': 'meta'}.get(damage)
    path = put(tmp_path, 'iter_2.pth', **({part: None} if part else {}))
    data = path.read_bytes()
    middle = data.index(b'\0\0\0\0', data.index(b'data/0'))
    changed = dict(empty=b'', cut=data[:-100], flipped=data[:middle] + b'\x01' + data[middle + 1:])
    path.write_bytes(changed.get(damage, data))
    if damage == 'hostile':
        torch.save(dict(COMPLETE, meta=os.system), path)
    write_pointer(tmp_path, path)
    assert newest_loadable(tmp_path).name == 'iter_1.pth'
    assert len(said) == 1 and 'iter_2.pth' in said[0] and 'skipped' in said[0]


def test_a_folder_in_which_none_can_be_read_never_means_from_the_beginning(tmp_path):
    put(tmp_path, 'iter_1.pth').write_bytes(b'')
    put(tmp_path, 'iter_2.pth', optimizer=None)
    with pytest.raises(CheckpointError, match='(?s)2 checkpoints.*iter_2.pth has no optimizer.*iter_1.*empty'):
        newest_loadable(tmp_path)
    only_best = tmp_path / 'best'
    put(only_best, 'best_day_mIoU_iter_2.pth', optimizer=None)
    with pytest.raises(CheckpointError, match='no regular one'):
        newest_loadable(only_best)


def test_pointers_name_files_of_their_own_folder(tmp_path):
    here, there = tmp_path / 'here', tmp_path / 'there'
    for folder in (here, there):
        put(folder, 'iter_1.pth')
    write_pointer(here, here / 'iter_1.pth')
    assert (here / 'last_checkpoint').read_text() == 'iter_1.pth'
    (there / 'last_checkpoint').write_text(str(here / 'iter_1.pth'))  # as earlier versions wrote it, after a copy
    assert read_pointer(there) == there / 'iter_1.pth' and newest_loadable(there).parent == there
    (there / 'last_checkpoint').write_text(str(here / 'iter_7.pth'))
    assert read_pointer(there) is None and newest_loadable(there) == there / 'iter_1.pth'
    (there / 'last_checkpoint').write_bytes(b'\xff\xfe\0')
    assert newest_loadable(there) == there / 'iter_1.pth'


def test_a_longer_earlier_run_is_told_from_a_newer_checkpoint(tmp_path, said):
    put(tmp_path, 'iter_8.pth', time=100)  # of an earlier run in this folder
    put(tmp_path, 'iter_2.pth', time=200)
    put(tmp_path, 'iter_4.pth', time=300)
    write_pointer(tmp_path, tmp_path / 'iter_4.pth')
    assert newest_loadable(tmp_path).name == 'iter_4.pth' and 'iter_8.pth: written before' in said[0]
    put(tmp_path, 'iter_6.pth', time=400)  # killed before the pointer was written
    assert newest_loadable(tmp_path).name == 'iter_6.pth'


def test_a_new_run_among_checkpoints_is_refused_with_the_ways(tmp_path):
    put(tmp_path, 'iter_1.pth')
    with pytest.raises(FileExistsError) as error:
        refuse_to_mix(tmp_path)
    for way in ('--resume', '--work-dir', '--overwrite', 'iter_1.pth'):
        assert way in str(error.value)


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    for name in ('iter_1.pth', 'epoch_3.pth', 'best_x_iter_1.pth', 'mit_b5.pth', 'my_best_iter_1.pth'):
        put(tmp_path, name)
    write_pointer(tmp_path, tmp_path / 'iter_1.pth')
    (tmp_path / '2026').mkdir()
    remove_run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2026', 'mit_b5.pth', 'my_best_iter_1.pth']


def test_names_of_a_template(tmp_path):
    put(tmp_path, 'step-12.ckpt')
    assert lying_in(tmp_path) == [] and lying_in(tmp_path, 'step-{}.ckpt')[0].step == 12


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt(), RuntimeError('x')])
def test_a_file_is_whole_or_as_before(tmp_path, error):
    target = tmp_path / 'x'
    target.write_text('before')
    with pytest.raises(type(error)) as raised, atomic_files.written_whole(target) as part:
        part.write_text('half')
        raise error
    assert target.read_text() == 'before' and [p.name for p in tmp_path.iterdir()] == ['x']
    if isinstance(error, OSError):
        assert str(target) in str(raised.value) and raised.value.errno == 28
    with atomic_files.written_whole(target) as part:
        part.write_text('after')
        assert str(os.getpid()) in part.name and target.read_text() == 'before'
    assert target.read_text() == 'after'


def test_it_is_flushed_before_it_is_moved(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(atomic_files.os, 'fsync', lambda handle: order.append('flush'))
    monkeypatch.setattr(atomic_files.os, 'replace', lambda a, b: order.append('move'))
    with atomic_files.written_whole(tmp_path / 'x') as part:
        part.touch()
    assert order == ['flush', 'move', 'flush']


def test_parts_of_killed_processes_are_removed(tmp_path):
    left = atomic_files.part_name(tmp_path / 'iter_5.pth')
    for path in (left, tmp_path / 'iter_3.pth.part', tmp_path / 'iter_3.pth', tmp_path / 'mine.part'):
        path.touch()
    assert sorted(atomic_files.remove_parts(tmp_path)) == sorted([left.name, 'iter_3.pth.part'])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['iter_3.pth', 'mine.part']
