"""The one exception that means: the user can put this right."""


class InputError(Exception):
    """Bad input. The message is one line that says what is wrong and what to do about it."""
