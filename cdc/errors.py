"""The root of every error that `cdc` and `causalvlm` raise on purpose, and the one that a user's mistake raises."""


class CausalVLMError(Exception):
    """Base of the errors that both packages raise on purpose."""


class InputError(CausalVLMError, ValueError):
    """A user's mistake: the message says what must hold, what was received and what to do.

    Example:
        >>> raise InputError("shots must be at least 1; received 0. Pass shots=16, the usual setting.")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: shots must be at least 1; received 0. Pass shots=16, the usual setting.
    """
