"""What a run says on the terminal, what only its log file keeps, and how far a long stage is."""
import logging
import sys
import time
from typing import Any

#: How the tables begin that a log file should have and a reader of a terminal passes over:
#: environment, merged config, order of the hooks; and what the libraries say to their own
#: developers.
LONG_TABLES = ('\n------------------------------------------------------------\nSystem '
               'environment:', 'Config:\n', 'Hooks will be executed in the following order')
NOT_FOR_USERS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias',
                 'Distributed training is not used, all SyncBatchNorm')


class WithoutTables(logging.Filter):
    """Keeps :data:`LONG_TABLES` and :data:`NOT_FOR_USERS` off a handler."""
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the handler shows a record."""
        return not str(record.msg).startswith(LONG_TABLES + NOT_FOR_USERS)


def keep_tables_in_the_file() -> None:
    """Every logger of mmengine with a log file writes its long tables there only, and says so in
    one line.

    A logger without a file shows everything, so nothing is lost. Called by ``import mmseg_dg``.
    """
    from mmengine.logging import MMLogger
    original = MMLogger.__init__
    if getattr(original, 'keeps_tables', False):  # the mark set below: replaced already
        return

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        """MMLogger's constructor; then the handlers that write to a terminal get a filter."""
        original(self, *args, **kwargs)
        if not any(isinstance(handler, logging.FileHandler) for handler in self.handlers):
            return
        for handler in self.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(WithoutTables())
                if handler.level <= logging.INFO:
                    # to this handler alone: the log file has the tables
                    text = f'config, environment and hooks are in the log file {self.log_file}'
                    handler.handle(
                        self.makeRecord(self.name, logging.INFO, __file__, 0, text, (), None))

    vars(__init__)['keeps_tables'] = True
    __init__.__doc__ = original.__doc__
    MMLogger.__init__ = __init__


def write_traceback(error: BaseException) -> str:
    """Write the traceback of an error, which the terminal shows as one message, into the log files
    of this process.

    Returns:
        The log file; '' where no run has one yet.
    """
    # not imported here: an error may come before mmengine is there
    logging_module = sys.modules.get('mmengine.logging')
    # mmengine's registry of loggers by name, the newest last
    loggers = getattr(getattr(logging_module, 'MMLogger', None), '_instance_dict', {})
    for logger in reversed(list(loggers.values())):
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0,
                                           'the run ended:', (),
                                           (type(error), error, error.__traceback__))
                handler.handle(record)
                handler.flush()
                return str(logger.log_file)
    return ''


class Progress:
    """How far a long stage is and what remains: one line drawn again on a terminal, now and then a
    line in a log.

    A stage that is over before the first line says nothing.

    Args:
        what: The stage, for a person: ``'counting labels'``.
        total: Steps in all.
        quiet: Seconds between lines where standard error is no terminal.

    Attributes:
        done: Steps that are done.
        spoken: Time of the last line (:func:`time.monotonic`), of the beginning before the first.
        drawn: Whether the terminal has a line, which the last step must complete.
    """
    def __init__(self, what: str, total: int, quiet: float = 10.) -> None:
        self.what, self.total, self.done = what, total, 0
        self.terminal = sys.stderr.isatty()
        self.begin = self.spoken = time.monotonic()
        self.quiet = 0.2 if self.terminal else quiet
        self.drawn = False

    def update(self, count: int = 1) -> None:
        """``count`` more steps are done: draw the line anew on a terminal, or write one into the
        log, at most every ``quiet`` seconds. The last step completes a line on a terminal at once,
        and writes none into a log.
        """
        self.done += count
        now, last = time.monotonic(), self.done >= self.total
        if now - self.spoken < self.quiet and not (last and self.drawn):
            return
        self.spoken = now
        if not self.terminal:
            if not last:
                from mmengine.logging import print_log
                print_log(self.text(now), logger='current')
            return
        self.drawn = True
        # padded, so that nothing of a longer line stays
        sys.stderr.write(f'\r{self.text(now):<78}' + '\n' * last)
        sys.stderr.flush()

    def text(self, now: float) -> str:
        """``counting labels: 120 of 4000, 2 min 5 s left``; at the end how long it took."""
        elapsed = now - self.begin
        if self.done >= self.total:
            time_text = duration(elapsed)
        else:
            per_step = elapsed / max(self.done, 1)
            time_text = f'{duration(per_step * (self.total - self.done))} left'
        return f'{self.what}: {self.done} of {self.total}, {time_text}'


def duration(seconds: float) -> str:
    """``7 s``, ``2 min 5 s``, ``3 h 10 min``."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {seconds} s' if minutes else f'{seconds} s'
