"""The end of every command line tool: a user's mistake is one message, not a traceback."""
import atexit
import os
import pickle
import signal
import sys
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Callable, Optional

from mmseg_dg.utils.console import write_traceback

#: What a mistake in a command, a config or a file raises; anything else is a fault of the program
#: and shows where.
USER_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError, SyntaxError,
               zipfile.BadZipFile, EOFError, pickle.UnpicklingError)
DEBUG = '--debug'
#: Functions in which training has begun: what goes wrong there was not found before, so its place
#: matters.
_RUNNING = ('run_iter', )


def run_tool(main: Callable[[], Optional[int]]) -> None:
    """Run ``main`` and leave the process with its exit status.

    An error that a user can mend ends with status 1 and one message, ``train.py: error: ...``; the
    log file, if the run has one by then, gets the traceback, and ``--debug`` anywhere on the
    command line shows it. Ctrl-C ends with 130 and without a word more.

    Args:
        main: Reads ``sys.argv`` (``--debug`` is taken out of it) and returns an exit status or
            None.
    """
    # not empty once a message was written; a list, so that the lambda below sees the change
    failed: list[bool] = []
    # functions of atexit are called in reverse order: this one, the first, after locks are freed
    atexit.register(lambda: spare_the_caller() if failed else None)
    debug = DEBUG in sys.argv[1:]
    if debug:
        sys.argv = [sys.argv[0], *(word for word in sys.argv[1:] if word != DEBUG)]
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
        # what is still buffered goes nowhere, or Python would fail once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug or not is_user_error(error):
            raise
        write_traceback(error)
        sys.stdout.flush()
        sys.stderr.write(f'{message_of(error)}\n')
        failed.append(True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def is_user_error(error: BaseException) -> bool:
    """Whether a message is enough: one of :data:`USER_ERRORS` before training, or weights that do
    not fit.
    """
    if _passes(error.__traceback__, _RUNNING):
        return False
    return isinstance(error, USER_ERRORS) or 'Error(s) in loading state_dict' in str(error)


def message_of(error: BaseException) -> str:
    """The text of an error for a user: ``doctor.py: error: ...``, with the kind of error where its
    own words do not suffice; the text ends as the error's own message does.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, SyntaxError) and error.filename:
        text = f'{error.filename}, line {error.lineno}: {error.msg}'
    # mmengine raises two more import errors over the first one, which says what to install
    if isinstance(error, ImportError):
        text = str(_first_import_error(error))
    kind = '' if isinstance(error, (ValueError, OSError,
                                    SyntaxError)) and text else f'{type(error).__name__}: '
    return f'{os.path.basename(sys.argv[0])}: error ({DEBUG} shows where): {kind}{text.strip()}'


def spare_the_caller() -> None:
    """End a waiting ``mim train`` (``test``, ``run``) as Ctrl-C would: it says "Aborted!" and
    leaves with status 1.

    Otherwise mim (0.3.9, ``mim/commands/train.py``: ``subprocess.check_call``) would print a
    traceback of its own below the message. A launcher between mim and this process is left alone.
    """
    try:
        words = Path(f'/proc/{os.getppid()}/cmdline').read_bytes().decode(
            errors='replace').split('\0')
    except OSError:  # not Linux
        return
    # the parent's command line is "mim VERB ..." or "python .../mim VERB ..."
    place = next((i for i, word in enumerate(words[:3]) if os.path.basename(word) == 'mim'), None)
    if place is not None and words[place + 1:place + 2] and words[place + 1] in ('train', 'test',
                                                                                 'run'):
        os.kill(os.getppid(), signal.SIGINT)


def _first_import_error(error: ImportError) -> ImportError:
    """The first of a chain of import errors, each raised while the one before was handled."""
    while True:
        earlier = error.__cause__ or error.__context__
        if not isinstance(earlier, ImportError):
            return error
        error = earlier


def _passes(trace: Optional[TracebackType], names: tuple[str, ...]) -> bool:
    """Whether a traceback goes through a function of one of these names; None is no traceback."""
    while trace is not None:
        if trace.tb_frame.f_code.co_name in names:
            return True
        trace = trace.tb_next
    return False
