"""What separates a mistake of the user from a bug of ours."""


class UserError(ValueError):
    """What a user can mend: its text names the file and line, or the key, with value and remedy, and is all that is
    printed.

    Nothing else is a message: a ValueError of numpy or of `int()` is a bug wherever it was raised, and keeps its
    traceback.
    """
