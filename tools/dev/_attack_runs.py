"""The rows of the attack that train: kills, signals, damage, moved folders, full disks.

A row is a generator: for each of ``trials`` it yields what was wrong, '' where nothing was.
"""
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import torch
from _attack_rig import ITERS, TOOLS, Rig, Run


def _go_on(rig: Rig, config: Path, work: Path, *words: Any) -> str:
    """Resume a run and let it end; '' if it ends like the uninterrupted one, else what is wrong.

    Args:
        rig: Of the attack.
        config: Of the run.
        work: Its work dir.
        *words: In the place of ``--resume``.
    """
    status, text = rig.run(config, '--work-dir', work, *(words or ('--resume', )))
    return f'resume ended with {status}: {text[-400:]}' if status else rig.finished_like_whole(config, work)


def _killed(rig: Rig, trials: int, kill: Callable[[Run, Path], bool], recipes=('supervised', 'uda')) -> Iterator[str]:
    """Every trial is one kill; a run is killed up to four times, then finishes and is compared.

    Args:
        rig: Of the attack.
        trials: Number of kills at least.
        kill: Kills a run (given with its work dir); False where the run had ended before.
        recipes: Of the configs, taken in turn.
    """
    killed = 0
    while killed < trials:
        config, work = rig.config(recipes[killed % len(recipes)]), rig.work_dir()
        rig.whole(config)
        hits = 0
        for _ in range(min(4, trials - killed)):
            run = rig.start(config, '--work-dir', work, '--resume')
            hits += kill(run, work)
            run.wait()
        problem = _go_on(rig, config, work)
        # the kills of one run are judged together: what is wrong counts once
        for place in range(max(1, hits)):
            yield problem if place == 0 else ''
        killed += max(1, hits)


def kills(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """SIGKILL at a random time of the run."""
    config, begin = rig.config(), time.monotonic()
    rig.run(config, '--work-dir', rig.work_dir())
    length = time.monotonic() - begin  # seconds of a whole run

    def kill(run: Run, work: Path) -> bool:
        """Kill after a random share of a whole run."""
        until = time.monotonic() + rng.uniform(0.2, 1.) * length
        run.until(lambda: time.monotonic() > until, 0.01)
        alive = not run.poll()
        run.send(signal.SIGKILL)
        return alive

    yield from _killed(rig, trials, kill)


def kills_while_saving(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """SIGKILL while a temporary file is there, or just after it was moved."""

    def kill(run: Run, work: Path) -> bool:
        """Kill at the first, second or third temporary file: at the first while it is there, at the
        others after they were moved.
        """
        wanted = rng.randrange(3)
        saving = lambda: work.is_dir() and any(p.name.endswith('.part') for p in os.scandir(work))  # noqa: E731
        for _ in range(wanted + 1):
            if not run.until(saving):
                return False
            if wanted:
                run.until(lambda: not saving())
        time.sleep(rng.uniform(0, 0.01))
        alive = not run.poll()
        run.send(signal.SIGKILL)
        return alive

    yield from _killed(rig, trials, kill)


def kills_of_two_processes(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """SIGKILL of one of two processes, or of both with their launcher; then the run goes on to its end."""
    config = rig.config('uda', name='two')
    for trial in range(trials):
        work = rig.work_dir()
        process = _two(config, work)
        # a checkpoint to go on from
        _wait_for(lambda work=work, process=process: (work / 'last_checkpoint').exists() or process.poll() is not None)
        time.sleep(rng.uniform(0, 3))
        owner = json.loads((work / '.run_lock.json').read_text()) if (work / '.run_lock.json').exists() else {}
        if trial % 2 and owner:
            os.kill(owner['process'], signal.SIGKILL)  # its launcher ends the other
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _wait_for(lambda owner=owner: not _alive(owner.get('process')), 60)
        status = _two(config, work).wait()
        left = [p.name for p in work.iterdir() if p.name.endswith('.part')] if work.is_dir() else ['nothing']
        done = (work / f'iter_{ITERS}.pth').exists()
        yield '' if status == 0 and done and not left else f'status {status}, last checkpoint {done}, left {left}'


def _two(config: Path, work: Path) -> subprocess.Popen:
    """Start a run of two processes; the launcher leads a process group of its own."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))  # 0: a port that is free
        port = s.getsockname()[1]
    environment = dict(os.environ, PORT=str(port), PYTHON=sys.executable)
    command = ['bash', str(TOOLS / 'dist_train.sh'), str(config), '2', '--work-dir', str(work), '--resume']
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)


def _wait_for(condition: Callable[[], bool], seconds: float = 600.) -> None:
    """Wait until a condition is true, or for so many seconds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)


def _alive(process: Any) -> bool:
    """Whether a process of this number is there; not for None."""
    return isinstance(process, int) and Path(f'/proc/{process}').exists()


def signals(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """SIGTERM, SIGINT, SIGUSR1 after the first iteration: status 75, the command at the end, the same result."""
    for trial in range(trials):
        config, work = rig.config(workers=trial % 2), rig.work_dir()
        run = rig.start(config, '--work-dir', work)
        run.until(lambda run=run: 'Iter(train)' in run.text, 0.02)
        time.sleep(rng.uniform(0, 0.5))
        alive = not run.poll()
        run.send((signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)[trial % 3])
        status, text = run.wait()
        log = max(work.glob('*/*.log'), key=lambda p: p.stat().st_mtime).read_text().strip().splitlines()[-1]
        # 75: stopped with a checkpoint; 0: the signal came after the last iteration
        if alive and status not in (75, 0):
            yield f'status {status}: {text[-300:]}'
        elif status == 75 and not ('continue with: ' in log and '--resume' in log and str(work) in log):
            yield f'last line: {log}'
        else:
            yield _go_on(rig, config, work) if status == 75 else rig.finished_like_whole(config, work)


def _half(rig: Rig) -> tuple[Path, Path]:
    """Config and folder of a run that was stopped after some checkpoints; made once, copied for each use."""
    config, kept = rig.config(), rig.folder / 'half'
    if not kept.is_dir():
        run = rig.start(config, '--work-dir', kept)
        run.until(lambda: (kept / 'iter_6.pth').exists(), 0.002)
        run.send(signal.SIGKILL)
        run.wait()
        (kept / '.run_lock.json').unlink(missing_ok=True)
    work = rig.work_dir()
    shutil.copytree(kept, work)
    return config, work


def _newest(work: Path) -> Path:
    """The checkpoint with the highest iteration."""
    return max(work.glob('iter_*.pth'), key=lambda p: int(p.stem[5:]))


def _damage(path: Path, rng: random.Random, kind: int) -> str:
    """Cut a file off, flip one of its bits, or empty it, by ``kind % 3``; says which in a word."""
    data = bytearray(path.read_bytes())
    if kind % 3 == 0:
        data = data[:rng.randrange(len(data))]
    elif kind % 3 == 1:
        place = rng.randrange(len(data) // 4, len(data) // 2)  # among the numbers
        data[place] ^= 1 << rng.randrange(8)
    else:
        data = bytearray()
    path.write_bytes(bytes(data))
    return ('truncated', 'flipped', 'empty')[kind % 3]


def damaged_newest(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """The newest checkpoint is damaged: the run goes on from the one before, says so, and ends alike."""
    for trial in range(trials):
        config, work = _half(rig)
        newest = _newest(work)
        kind = _damage(newest, rng, trial)
        status, text = rig.run(config, '--work-dir', work, '--resume')
        said = newest.name in text and 'skipped' in text
        problem = rig.finished_like_whole(config, work) if status == 0 else f'status {status}: {text[-300:]}'
        # a bit of the padding between two records, which no reader looks at, is flipped without a trace
        yield problem or ('' if said or kind == 'flipped' else f'{kind}: nothing said about {newest.name}')


def _refused(rig: Rig, words: tuple, *needed: str, accepted: Callable[[], str] = lambda: 'accepted') -> str:
    """Run a training that must be refused with a message; '' if it is, else what is wrong.

    Args:
        rig: Of the attack.
        words: Arguments of tools/train.py.
        *needed: Words that the message must have.
        accepted: Called where the run was not refused, for the answer.
    """
    status, text = rig.run(*words)
    if status == 0:
        return accepted()
    lacking = [word for word in needed if word not in text]
    if status != 1 or lacking or 'weights_only=False' in text:  # torch's dangerous advice
        return f'status {status}, message without {lacking}: {text[-300:]}'
    return ''


def damaged_file(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """--resume FILE with a damaged file is refused by name.

    Only a bit flipped in the padding between two records, 5 % of this small file, is accepted: then the run has to end
    like the uninterrupted one.
    """
    for trial in range(trials):
        config, half = _half(rig)
        newest, work = _newest(half), rig.work_dir()
        kind = _damage(newest, rng, trial)

        def judged(kind: str = kind, config: Path = config, work: Path = work) -> str:
            """What is wrong with a run that took the file."""
            return rig.finished_like_whole(config, work) if kind == 'flipped' else f'{kind}: accepted'

        yield _refused(rig, (config, '--work-dir', work, '--resume', newest), str(newest), accepted=judged)


def missing_parts(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """--resume FILE with a checkpoint that lacks a part is refused by its name, with the way out."""
    for part in ('optimizer', 'param_schedulers', 'meta', 'message_hub', 'state_dict')[:trials]:
        config, work = _half(rig)
        path = _newest(work)
        content = torch.load(path, weights_only=True)
        del content[part]
        torch.save(content, path)
        yield _refused(rig, (config, '--work-dir', rig.work_dir(), '--resume', path), str(path), part,
                       '--resume-weights-only')


def moved_folders(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Moved, without its pointer, with that of another folder, without its best checkpoint, elsewhere by FILE."""
    for trial in range(trials):
        config, work = _half(rig)
        other = _half(rig)[1]
        before = {p.name: p.read_bytes() for p in other.glob('*.pth')}
        kind = trial % 4  # 0: no pointer, 1: another folder's, 2: no best checkpoint, 3: FILE from elsewhere
        if kind == 0:
            (work / 'last_checkpoint').unlink()
        elif kind == 1:
            (work / 'last_checkpoint').write_text(str(other / 'iter_6.pth'))
        elif kind == 2:
            for best in work.glob('best_*.pth'):
                best.unlink()
        words = ('--resume', ) if kind < 3 else ('--resume', _newest(other))
        work = work if kind < 3 else rig.work_dir()
        problem = _go_on(rig, config, work, *words)
        changed = before != {p.name: p.read_bytes() for p in other.glob('*.pth')}
        yield problem or ('the other folder was changed' if changed else '')


def two_runs(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """A second run while the first one works, and a start among checkpoints."""
    for trial in range(trials):
        config, work = rig.config(), rig.work_dir()
        run = rig.start(config, '--work-dir', work)
        run.until(lambda run=run: 'Iter(train)' in run.text, 0.02)
        words = ('--resume', ) if trial % 2 else ()
        problem = _refused(rig, (config, '--work-dir', work, *words), f'process {run.process}', socket.gethostname())
        run.wait()
        problem = problem or rig.finished_like_whole(config, work)
        yield problem or _refused(rig, (config, '--work-dir', work), '--resume', '--overwrite', '--work-dir')


def full_disks(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """No file may grow beyond a part of a checkpoint: the run ends, what was there stays, and it goes on later."""
    for _ in range(trials):
        config, work = _half(rig)
        before = {p.name for p in work.glob('*.pth')}
        size = min(p.stat().st_size for p in work.glob('*.pth'))
        limit = rng.randrange(size // 4, size - 1)
        status, text = rig.run(config, '--work-dir', work, '--resume', before=lambda limit=limit: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, limit)))
        lost = before - {p.name for p in work.glob('*.pth')}
        if status != 1 or 'cannot write' not in text:
            yield f'status {status}: {text[-300:]}'
        elif lost or any(p.name.endswith('.part') for p in work.iterdir()):
            yield f'lost {lost}, or a temporary file is left'
        else:
            yield _go_on(rig, config, work)


def other_methods(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """Signaled and resumed runs of other methods: the ones that keep state beside weights and optimizer come first."""
    kinds = [  # pixel contrast's queue; statistics estimated again before each test; a class prior that is averaged
        'cluda_hrda_mitb5_gta2cityscapes', 'deft_r50_gta --row bn_reestimate',
        'diffmatch_r50_voc_classic_183 --row adjust_ema',
        'uda', 'semi']
    for trial in range(trials):
        name = kinds[trial % len(kinds)]
        config, work = rig.config(name) if name in ('uda', 'semi') else rig.shrunken(name), rig.work_dir()
        rig.whole(config)
        run = rig.start(config, '--work-dir', work)
        run.until(lambda run=run: 'Iter(train) [3' in run.text or 'Iter(train) [ 3' in run.text, 0.02)
        run.send(signal.SIGTERM)
        status, text = run.wait()
        problem = _go_on(rig, config, work) if status in (0, 75) else f'status {status}: {text[-300:]}'
        yield f'{name}: {problem}' if problem else ''


def not_finite(rig: Rig, trials: int, rng: random.Random) -> Iterator[str]:
    """A rate that makes the weights overflow: the run ends with an error, and no checkpoint is not finite."""
    for trial in range(trials):
        config, work = rig.config(('supervised', 'uda')[trial % 2]), rig.work_dir()
        rate = f'optim_wrapper.optimizer.lr=1e{30 + trial}'  # float32 ends at 3e38
        status, text = rig.run(config, '--work-dir', work, '--cfg-options', rate)
        bad = [p.name for p in work.glob('*.pth') if not all(
            torch.isfinite(v).all() for v in torch.load(p, weights_only=True)['state_dict'].values())]
        yield '' if status == 1 and not bad else f'status {status}, not finite: {bad}: {text[-200:]}'
