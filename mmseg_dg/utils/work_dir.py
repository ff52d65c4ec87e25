"""What lies in a run's work dir: its checkpoints, which is the newest, and whether a new run may
start there.
"""
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from mmengine.logging import print_log

from mmseg_dg.utils.atomic_files import write_text
from mmseg_dg.utils.checkpoint_reader import CheckpointError, check_complete, read_checkpoint
from mmseg_dg.utils.listing import listed

#: The file that names the newest checkpoint, as mmengine calls it.
POINTER = 'last_checkpoint'
_TEMPLATES = ('iter_{}.pth', 'epoch_{}.pth')
_BEST = re.compile(r'^best_.+\.pth$')


class Found(NamedTuple):
    """A checkpoint of a work dir.

    Attributes:
        path: The file, in the folder itself.
        step: Iteration (or epoch) in its name.
    """
    path: Path
    step: int


def lying_in(folder: Union[str, Path], template: Optional[str] = None) -> list[Found]:
    """The regular checkpoints of a folder, newest first; best checkpoints are not among them.

    Args:
        folder: The work dir.
        template: Names of the files, such as ``'step_{}.pth'``; None: mmengine's ``iter_{}.pth``
            and ``epoch_{}.pth``.
    """
    # file names with the iteration (or epoch) as the group
    patterns = [
        re.compile(re.escape(item).replace(re.escape('{}'), r'(\d+)'))
        for item in ([template] if template else _TEMPLATES)
    ]
    found = []
    for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
        match = next((m for pattern in patterns if (m := pattern.fullmatch(path.name))), None)
        if match and path.is_file():
            found.append(Found(path, int(match.group(1))))
    return sorted(found, key=lambda item: (-item.step, item.path.name))


def best_of(folder: Union[str, Path]) -> list[Path]:
    """Best checkpoints of a folder."""
    return sorted(path for path in Path(folder).iterdir()
                  if _BEST.match(path.name)) if Path(folder).is_dir() else []


def holds_checkpoints(folder: Union[str, Path]) -> bool:
    """Whether a regular or best checkpoint lies in a folder, readable or not."""
    return bool(lying_in(folder) or best_of(folder))


def write_pointer(folder: Union[str, Path], checkpoint: Union[str, Path]) -> None:
    """Write ``last_checkpoint``, which names the newest checkpoint relative to the folder, so that
    folders can be moved.
    """
    path = Path(checkpoint)
    try:
        path = path.resolve().relative_to(Path(folder).resolve())
    except ValueError:
        pass  # checkpoints kept elsewhere on request (out_dir)
    write_text(Path(folder) / POINTER, str(path))


def read_pointer(folder: Union[str, Path]) -> Optional[Path]:
    """The checkpoint in this folder that ``last_checkpoint`` names; None without one.

    Only the name counts: a pointer may hold a path (of earlier versions, or to the checkpoint
    hook's ``out_dir``), which after a copy is that of another folder.
    """
    try:
        text = (Path(folder) / POINTER).read_text(encoding='utf-8').strip()
    except (OSError, UnicodeDecodeError):
        return None
    name = re.split(r'[/\\]', text)[-1]
    path = Path(folder) / name
    return path if name and path.is_file() else None


def _in_order(found: list[Found], pointer: Optional[Path]) -> tuple[list[Found], list[Found]]:
    """Sort out checkpoints that an earlier run left in the folder.

    A file with a higher iteration than the newest one of this run, written before it, is of an
    earlier, longer run. One written after it is newer: the process ended between writing it and the
    pointer.

    Args:
        found: Checkpoints of a folder, newest first.
        pointer: The one that ``last_checkpoint`` names; without it none counts as left over.

    Returns:
        Those to be tried, newest first, and those left over.
    """
    current = next((item for item in found if pointer is not None and item.path == pointer), None)
    if current is None:
        return found, []
    written = current.path.stat().st_mtime_ns
    old = [
        item for item in found
        if item.step > current.step and item.path.stat().st_mtime_ns < written
    ]
    return [item for item in found if item not in old], old


def newest_loadable(folder: Union[str, Path], template: Optional[str] = None,
                    complete: bool = True) -> Optional[Path]:
    """The newest checkpoint of a folder that a run can go on from; what was skipped, and why, is
    logged.

    Args:
        folder: The work dir. Only files in it count.
        template: As :func:`lying_in`.
        complete: Whether it must hold all that a run goes on from: optimizer, schedules, logs.

    Returns:
        Its path; None where no checkpoint lies there.

    Raises:
        CheckpointError: Checkpoints lie there, and none can be read.
    """
    found = lying_in(folder, template)
    tried, old = _in_order(found, read_pointer(folder))
    skipped = [
        f'{item.path.name}: written before {tried[0].path.name}, by an earlier '
        'run' for item in old
    ]
    for item in tried:
        try:
            content = read_checkpoint(item.path, 'meta')  # tensors without memory for their values
            if complete:
                check_complete(content, item.path.name)
        except CheckpointError as error:
            skipped.append(f'{item.path.name}: {error}')
            continue
        if skipped:
            print_log(
                f'{folder}: going on from {item.path.name}; skipped\n  ' + '\n  '.join(skipped),
                logger='current', level=logging.WARNING)
        return item.path
    if found:
        reasons = '\n  '.join(skipped)
        raise CheckpointError(f'{folder} holds {len(found)} checkpoints, and a run can go on from '
                              f'none of them:\n  {reasons}\nGive another file (--resume FILE), '
                              'start in another --work-dir, or begin again with --overwrite')
    if best_of(folder):
        raise CheckpointError(
            f'{folder} holds best checkpoints ({", ".join(path.name for path in best_of(folder))}) '
            'and no regular one that a run could go on from exactly: --resume FILE '
            '--resume-weights-only takes the weights of one, --overwrite begins again')
    return None


def newest_for_all_processes(folder: Union[str, Path], template: Optional[str] = None,
                             complete: bool = True) -> Optional[str]:
    """As :func:`newest_loadable`: process 0 looks, all get its answer (or its error)."""
    answer = on_first_process(lambda: newest_loadable(folder, template, complete))
    return None if answer is None else str(answer)


def on_first_process(function: Any) -> Any:
    """Call a function in process 0 only; every process gets what it returned, or raises what it
    raised.
    """
    from mmengine.dist import broadcast_object_list, get_dist_info
    rank, world_size = get_dist_info()
    outcome: list = [None, None]  # the result, the error
    if rank == 0:
        try:
            outcome[0] = function()
        except Exception as error:  # noqa: BLE001  raised below, in every process
            outcome[1] = error
    if world_size > 1:
        broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def refuse_to_mix(folder: Union[str, Path], template: Optional[str] = None) -> None:
    """Refuse a folder for a new run because checkpoints of an earlier one lie in it.

    Raises:
        FileExistsError: Checkpoints lie there; the message names the ways on.
    """
    names = [item.path.name
             for item in lying_in(folder, template)] + [path.name for path in best_of(folder)]
    if names:
        raise FileExistsError(
            f'{folder} holds the checkpoints of a run ({listed(names, 4)}). To go on with it: '
            '--resume (in Python resume=True). To keep it and start another run: another '
            '--work-dir. To throw its checkpoints away and begin again: --overwrite (in Python '
            'overwrite=True)')


def remove_run(folder: Union[str, Path], template: Optional[str] = None) -> list[str]:
    """Delete the checkpoints of a folder and their pointer; logs stay. Returns the names."""
    paths = [item.path
             for item in lying_in(folder, template)] + best_of(folder) + [Path(folder) / POINTER]
    gone = []
    for path in paths:
        if path.is_file() or path.is_symlink():
            path.unlink()
            gone.append(path.name)
    return gone
