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


def require_at_least(name: str, value: int | float, bound: int | float) -> None:
    """Raise unless the setting `name` is at least `bound`.

    Example:
        >>> require_at_least("shots", 16, 1)
    """
    if not value >= bound:
        raise InputError(f"{name} must be at least {bound}; received {value}.")


def require_share(name: str, value: int | float) -> None:
    """Raise unless the setting `name` lies between 0 and 1.

    Example:
        >>> require_share("independence", 0.5)
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be between 0 and 1; received {value}.")
