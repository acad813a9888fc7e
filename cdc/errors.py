"""The one error that a user's mistake raises in `cdc`."""


class InputError(ValueError):
    """A user's mistake: the message says what must hold, what was received and what to do.

    Example:
        >>> raise InputError("shots must be at least 1; received 0. Pass shots=16, the usual setting.")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: shots must be at least 1; received 0. Pass shots=16, the usual setting.
    """
