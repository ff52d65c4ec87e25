"""Collects what several checks find, so that a user sees all problems of a config at once, with
lines to paste.
"""
from collections.abc import Iterable
from typing import Any, Callable, Optional, TypeVar

from .paste import lines_to_paste

#: What a check raises for a mistake in a config or in data; anything else is a fault of the
#: program, not caught here.
USER_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError)

#: Settings that mend a problem: dotted key of the config -> value.
Fix = dict[str, Any]

_Error = TypeVar('_Error', bound=Exception)


def with_fix(error: _Error, fix: Fix) -> _Error:
    """The error itself, which now carries the settings that mend it (attribute ``fix``) for the
    lines to paste at the end of a report.
    """
    vars(error)['fix'] = fix
    return error


def fix_of(error: Exception) -> Fix:
    """The settings that mend an error; empty where it came without."""
    return vars(error).get('fix', {})


class Problems:
    """Runs checks, keeps the errors they raise, and raises them together.

    Use::

        problems = Problems(runner.cfg.filename)
        problems.check(check_streams, method, loaders)  # raises one error, or nothing
        problems.gather(domain_problems, config)  # gives any number of errors
        problems.raise_all()

    Args:
        filename: The user's config file, for the lines to paste; None: there is none.

    Attributes:
        errors: What was found.
        broken_streams: Names of the streams whose config is at fault, so that they cannot be looked
            into.
    """
    def __init__(self, filename: Optional[str] = None) -> None:
        self.filename = filename
        self.errors: list[Exception] = []
        self.broken_streams: set[str] = set()

    def check(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Call ``function``; a user's mistake is kept instead of raised.

        Returns:
            Whether it found nothing (later checks that build on it may then run).
        """
        try:
            function(*args, **kwargs)
        except USER_ERRORS as error:
            self.add(error)
            return False
        return True

    def gather(self, function: Callable[..., Iterable[Exception]], *args: Any,
               **kwargs: Any) -> bool:
        """Call a function that gives errors instead of raising; one it raises ends it and is kept
        as well.

        Returns:
            Whether it found nothing.
        """
        before = len(self.errors)
        try:
            for error in function(*args, **kwargs):
                self.add(error)
        except USER_ERRORS as error:
            self.add(error)
        return len(self.errors) == before

    def add(self, error: Exception) -> None:
        """Keep an error; one with the text of an earlier one is the same problem, found twice."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def fix(self) -> Fix:
        """The settings that mend what was found, as far as errors know them."""
        return {key: value for error in self.errors for key, value in fix_of(error).items()}

    def raise_all(self) -> None:
        """Raise what was found: one error with its own text, several as one with a numbered list;
        lines to paste follow where errors know a fix.

        Raises:
            Exception: A single error without lines to paste, as it is. Else a new one: ValueError,
                TypeError or FileNotFoundError if all found errors are of that class, else
                ValueError.
        """
        if not self.errors:
            return
        paste = lines_to_paste(self.fix(), self.filename)
        if len(self.errors) == 1 and not paste:
            raise self.errors[0]
        kinds = {type(error) for error in self.errors}
        kind = kinds.pop() if len(kinds) == 1 else ValueError
        # these print a text of several lines as it is; KeyError, for one, would print its repr
        kind = kind if kind in (ValueError, TypeError, FileNotFoundError) else ValueError
        text = str(self.errors[0])
        if len(self.errors) > 1:
            numbered = (f'  {number}. {error}' for number, error in enumerate(self.errors, 1))
            text = f'{len(self.errors)} problems, all to be mended before the run can start:\n'
            text += '\n'.join(numbered)
        raise kind(text + paste) from None  # the text names them all
