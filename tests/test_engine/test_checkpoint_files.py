"""The checkpoint hook on a full disk, after a kill, in a copied folder, and asked to stop."""
import errno
import os
import shutil
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_dg.engine.hooks.domain_checkpoint import DomainCheckpointHook
from mmseg_dg.registry import HOOKS
from mmseg_dg.utils import run_lock, stop_signals
from mmseg_dg.utils.checkpoint_reader import CheckpointError, read_checkpoint

from .test_resume import assert_identical, state_of

#: Scores that the tests give out, validation by validation.
SCORES = []


@HOOKS.register_module(force=True)
class ScoresOfTheTest(Hook):
    """Replaces the scores of a validation by those of ``SCORES`` before the checkpoint hook sees them."""
    priority = 'LOW'

    def after_val_epoch(self, runner, metrics=None):
        if SCORES:
            metrics['target/mIoU'] = SCORES.pop(0)


@HOOKS.register_module(force=True)
class AtIteration(Hook):
    """Calls something after an iteration."""

    def __init__(self, iteration, call):
        self.iteration, self.call = iteration, call

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            self.call()


@pytest.fixture
def small(tiny_config):
    """A run of 6 iterations that validates at each and saves at every third."""

    def build(work_dir='run', interval=3, scores=(), at=None, **changes):
        SCORES[:] = scores
        cfg = tiny_config('Supervised', max_iters=6, val_interval=1, batch_size=1, work_dir=work_dir)
        cfg.default_hooks.checkpoint.update(interval=interval, save_best='target/mIoU', **changes)
        cfg.val_dataloader.target.dataset.indices = 2
        cfg.custom_hooks = [dict(type='ScoresOfTheTest')]
        if at is not None:
            cfg.custom_hooks.append(dict(type='AtIteration', iteration=at[0], call=at[1]))
        return cfg

    yield build
    for folder in list(run_lock._HELD):
        run_lock.release(folder)


def kill():
    raise KeyboardInterrupt


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_file() and p.suffix != '.py' and p.name != run_lock.LOCK)


class Full:
    """A disk that is full: the next writes of files whose name contains ``part`` stop half way."""

    def __init__(self, monkeypatch, part):
        real = Runner.save_checkpoint

        def save(runner, out_dir, filename, **options):
            real(runner, out_dir, filename, **options)
            if part in filename:
                with open(os.path.join(out_dir, filename), 'r+b') as file:
                    file.truncate(1000)
                raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr(Runner, 'save_checkpoint', save)


@pytest.mark.ci
@pytest.mark.parametrize('part, left', [
    ('best_target_mIoU_iter_4', ['best_target_mIoU_iter_2.pth', 'iter_1.pth', 'iter_3.pth']),
    ('iter_6', ['best_target_mIoU_iter_2.pth', 'best_target_mIoU_iter_4.pth', 'iter_1.pth', 'iter_3.pth'])])
def test_a_full_disk_loses_neither_checkpoint_nor_best(small, run_config, tmp_path, monkeypatch, part, left):
    with monkeypatch.context() as patch:
        Full(patch, part)
        with pytest.raises(OSError, match='cannot write .*pth: No space left.*before is unchanged'):
            run_config(small(scores=[10, 20, 5, 30, 1, 1]))
    assert names(tmp_path / 'run') == [*left, 'last_checkpoint']
    for name in left:
        read_checkpoint(tmp_path / 'run' / name)
    cfg = small(scores=[30, 1, 1])
    cfg.resume = True
    run_config(cfg)
    assert names(tmp_path / 'run') == ['best_target_mIoU_iter_4.pth', 'iter_1.pth', 'iter_3.pth', 'iter_6.pth',
                                       'last_checkpoint']


@pytest.mark.ci
def test_a_kill_between_best_and_regular_checkpoint_loses_no_best(small, run_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):  # the best of iteration 4 is written, no regular checkpoint names it
        run_config(small(scores=[10, 20, 5, 30, 1, 1], at=(5, kill)))
    assert {'best_target_mIoU_iter_2.pth', 'best_target_mIoU_iter_4.pth'} <= set(names(tmp_path / 'run'))
    cfg = small(scores=[15, 1, 1])  # a resumed run that does not get as good again
    cfg.resume = True
    run_config(cfg)
    hub = read_checkpoint(tmp_path / 'run' / 'iter_6.pth')['message_hub']['runtime_info']
    assert (hub['best_score'], hub['best_ckpt'], hub['last_ckpt']) == (20, 'best_target_mIoU_iter_2.pth', 'iter_6.pth')
    assert [name for name in names(tmp_path / 'run') if name.startswith('best')] == [hub['best_ckpt']], (
        'the one of iteration 4, which was trained again, is no longer named by anything')


@pytest.mark.ci
def test_a_kill_before_the_first_best_loses_nothing(small, run_config, tmp_path, monkeypatch):
    """The regular checkpoint comes first: a run can go on from it, and its weights are those of the best."""
    with monkeypatch.context() as patch:
        patch.setattr(DomainCheckpointHook, '_write_waiting_best', lambda self, runner: kill())
        with pytest.raises(KeyboardInterrupt):
            run_config(small(scores=[10]))
    assert names(tmp_path / 'run') == ['iter_1.pth', 'last_checkpoint']
    cfg = small(scores=[9, 8, 7, 6, 5])
    cfg.resume = True
    run_config(cfg)
    best = read_checkpoint(tmp_path / 'run' / 'best_target_mIoU_iter_1.pth')
    first = read_checkpoint(tmp_path / 'run' / 'iter_1.pth')
    assert best['meta']['iter'] == 1 and 'optimizer' not in best
    assert all(torch.equal(best['state_dict'][key], value) for key, value in first['state_dict'].items())


@pytest.mark.ci
def test_a_kill_before_the_old_best_is_removed(small, run_config, tmp_path, monkeypatch):
    forget = DomainCheckpointHook._forget_outdated_best
    with monkeypatch.context() as patch:
        patch.setattr(DomainCheckpointHook, '_forget_outdated_best',
                      lambda self: kill() if self.last_ckpt.endswith('iter_6.pth') else forget(self))
        with pytest.raises(KeyboardInterrupt):
            run_config(small(scores=[10, 20, 5, 30, 1, 1]))
    assert {'best_target_mIoU_iter_2.pth', 'best_target_mIoU_iter_4.pth'} <= set(names(tmp_path / 'run'))
    cfg = small()
    cfg.resume = True
    run_config(cfg)
    assert [name for name in names(tmp_path / 'run') if name.startswith('best')] == ['best_target_mIoU_iter_4.pth']


def test_a_first_best_has_a_regular_checkpoint_beside_it(small, run_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_config(small(scores=[10, 1], at=(2, kill), interval=100))
    assert names(tmp_path / 'run') == ['best_target_mIoU_iter_1.pth', 'iter_1.pth', 'last_checkpoint']


def test_without_validation_the_newest_are_kept_and_the_log_says_so(small, run_config, tmp_path):
    """Recipes set save_best; their children may have nothing to validate on."""
    cfg = small()
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    run_config(cfg)
    assert names(tmp_path / 'run') == ['iter_3.pth', 'iter_6.pth', 'last_checkpoint']
    log, = (tmp_path / 'run').glob('*/*.log')
    assert 'no validation (val_dataloader), so save_best=' in log.read_text()


@pytest.mark.ci
def test_a_lost_best_checkpoint_is_replaced_by_the_next(small, run_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_config(small(scores=[10, 50, 5, 1], at=(4, kill), max_keep_ckpts=1))
    assert names(tmp_path / 'run') == ['best_target_mIoU_iter_2.pth', 'iter_3.pth', 'last_checkpoint']
    (tmp_path / 'run' / 'best_target_mIoU_iter_2.pth').unlink()
    cfg = small(scores=[8, 9, 7], max_keep_ckpts=1)
    cfg.resume = True
    run_config(cfg)
    assert names(tmp_path / 'run') == ['best_target_mIoU_iter_5.pth', 'iter_6.pth', 'last_checkpoint']
    hub = torch.load(tmp_path / 'run' / 'iter_6.pth')['message_hub']['runtime_info']
    assert (hub['best_ckpt'], hub['last_ckpt'], hub['best_score']) == ('best_target_mIoU_iter_5.pth', 'iter_6.pth', 9)
    assert DomainCheckpointHook.priority == 'VERY_LOW', 'it makes plain what the other hooks added'


@pytest.mark.ci
@pytest.mark.parametrize('improves', [True, False])
def test_going_on_elsewhere_leaves_the_first_folder_alone(small, run_config, tmp_path, improves):
    with pytest.raises(KeyboardInterrupt):
        run_config(small('first', scores=[10, 50, 5, 1], at=(4, kill)))
    before = {p.name: p.read_bytes() for p in (tmp_path / 'first').glob('*.pth')}
    cfg = small('second', scores=[60, 1, 1] if improves else [1, 1, 1], max_keep_ckpts=1)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'first' / 'iter_3.pth')
    run_config(cfg)
    assert before == {p.name: p.read_bytes() for p in (tmp_path / 'first').glob('*.pth')}
    best = 'best_target_mIoU_iter_4.pth' if improves else 'best_target_mIoU_iter_2.pth'
    assert names(tmp_path / 'second') == [best, 'iter_6.pth', 'last_checkpoint']


@pytest.mark.ci
def test_a_moved_folder_goes_on_in_itself(small, run_config, tmp_path):
    run_config(small('whole', scores=[10, 20, 5, 30, 1, 1]))
    with pytest.raises(KeyboardInterrupt):
        run_config(small('part', scores=[10, 20, 5, 30], at=(5, kill)))
    run_lock.release(tmp_path / 'part')
    shutil.move(tmp_path / 'part', tmp_path / 'moved')
    (tmp_path / 'moved' / 'last_checkpoint').write_text(str(tmp_path / 'part' / 'iter_3.pth'))
    cfg = small('moved', scores=[30, 1, 1])
    cfg.resume = True
    run_config(cfg)
    assert not (tmp_path / 'part').exists()
    assert_identical(state_of(tmp_path / 'whole' / 'iter_6.pth'), state_of(tmp_path / 'moved' / 'iter_6.pth'))


@pytest.mark.ci
def test_a_start_among_checkpoints_is_refused_and_overwrite_waits_for_the_checks(small, run_config, tmp_path):
    run_config(small(scores=[1] * 6))
    with pytest.raises(FileExistsError, match='--overwrite'):
        run_config(small())
    cfg = small()
    cfg.overwrite = True
    cfg.default_hooks.checkpoint.save_best = 'target/nonsense'
    cfg.train_cfg.accumulate = 1
    cfg.custom_hooks.append(dict(type='AtIteration', iteration=1, call=kill))
    cfg.train_dataloader.source.dataset.data_prefix.img_path = 'nowhere'
    with pytest.raises(FileNotFoundError):
        run_config(cfg)
    assert 'iter_6.pth' in names(tmp_path / 'run'), 'a mistake in the config costs no checkpoint'
    cfg = small(at=(1, kill))
    cfg.overwrite = True
    with pytest.raises(KeyboardInterrupt):
        run_config(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT', 'SIGUSR1'])
def test_a_signal_ends_the_iteration_and_the_rest_equals_an_uninterrupted_run(small, run_config, tmp_path, name):
    handlers = {item: signal.getsignal(getattr(signal, item)) for item in stop_signals.SIGNALS}
    try:
        stop_signals.listen()
        runner = run_config(small('part', at=(4, lambda: os.kill(os.getpid(), getattr(signal, name)))))
    finally:
        for item, handler in handlers.items():
            signal.signal(getattr(signal, item), handler)
        stop_signals.forget()
    assert runner.stopped_by == name and runner.iter == 4
    assert (tmp_path / 'part' / 'last_checkpoint').read_text() == 'iter_4.pth'
    if name != 'SIGTERM':
        return
    cfg = small('part')
    cfg.resume = True
    assert run_config(cfg).iter == 6
    run_config(small('whole'))
    assert_identical(state_of(tmp_path / 'whole' / 'iter_6.pth'), state_of(tmp_path / 'part' / 'iter_6.pth'))


@pytest.mark.ci
def test_a_checkpoint_without_optimizer_needs_to_be_asked_for(small, run_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_config(small('first', at=(4, kill)))
    content = torch.load(tmp_path / 'first' / 'iter_3.pth')
    del content['optimizer']
    torch.save(content, tmp_path / 'less.pth')
    cfg = small('second')
    cfg.resume, cfg.load_from = True, str(tmp_path / 'less.pth')
    with pytest.raises(CheckpointError, match='less.pth has no optimizer.*--resume-weights-only'):
        run_config(cfg)
    torch.save(content['state_dict'], tmp_path / 'weights.pth')
    begun = []
    for file, first in (('less.pth', 3), ('weights.pth', 0)):
        cfg = small(f'from_{first}', at=(first + 1, lambda: begun.append(True)))
        cfg.resume, cfg.load_from, cfg.resume_weights_only = True, str(tmp_path / file), True
        assert run_config(cfg).iter == 6
    assert len(begun) == 2
    whole = read_checkpoint(tmp_path / 'from_0' / 'iter_6.pth')['optimizer']['param_groups'][0]['lr']
    assert read_checkpoint(tmp_path / 'from_3' / 'iter_6.pth')['optimizer']['param_groups'][0]['lr'] == whole
