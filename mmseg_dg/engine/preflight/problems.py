"""Collects what several checks find, so that a user sees all problems of a config at once."""
from typing import Any, Callable

#: What a check raises for a mistake in a config or in data; anything else is a fault of the program, not caught here.
USER_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError)


class Problems:
    """Runs checks, keeps the errors they raise, and raises them together.

    Use::

        problems = Problems()
        problems.check(check_streams, method, loaders)
        problems.check(check_engine, runner, method)
        problems.raise_all()
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def check(self, function: Callable[..., Any], *args, **kwargs) -> bool:
        """Call ``function``; a user's mistake is kept instead of raised.

        Returns:
            Whether it found nothing (later checks that build on it may then run).
        """
        try:
            function(*args, **kwargs)
        except USER_ERRORS as error:
            self.errors.append(error)
            return False
        return True

    def raise_all(self) -> None:
        """Raise what was found: one error as it is, several as one with a numbered list.

        Raises:
            Exception: Of the class that all found errors share, else ValueError.
        """
        if not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        kinds = {type(error) for error in self.errors}
        kind = kinds.pop() if len(kinds) == 1 else ValueError
        kind = kind if kind in (ValueError, TypeError, FileNotFoundError) else ValueError
        text = '\n'.join(f'  {number}. {error}' for number, error in enumerate(self.errors, 1))
        raise kind(f'{len(self.errors)} problems, all to be mended before the run can start:\n{text}') \
            from self.errors[0]
