"""Numbers and names as people say them: shares, intervals, and differences whose sign is a word where it is certain."""

from causalvlm.intervals import CONFIDENCE, Estimate, Shift

INTERVAL = f"{100 * CONFIDENCE:.0f} %"
"""How certain every interval here is, in words."""


def percent(share: float) -> str:
    """A share.

    Example:
        >>> percent(0.5)
        '50 %'
    """
    return f"{100 * share:.0f} %"


def percents(estimate: Estimate) -> str:
    """The interval of a share.

    Example:
        >>> percents(Estimate(0.5, low=0.4, high=0.6))
        '40 to 60 %'
    """
    return f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f} %"


def spoken(name: str) -> str:
    """The name of a factor or a setting.

    Example:
        >>> spoken("time_of_day")
        'time of day'
    """
    return name.replace("_", " ")


def minus(number: str) -> str:
    """A number with a minus sign instead of a hyphen.

    Example:
        >>> minus("-1")
        '−1'
    """
    return number.replace("-", "−")


def interval(low: float, high: float, *, digits: int = 0) -> str:
    """The ends of a difference: without a sign where they agree on it, the nearer to zero first.

    Example:
        >>> interval(-3.0, -1.0), interval(-1.0, 2.0)
        ('1 to 3', '−1 to +2')
    """
    if low * high > 0:
        nearer, farther = sorted((abs(low), abs(high)))
        return f"{nearer:.{digits}f} to {farther:.{digits}f}"
    return minus(f"{low:+.{digits}f} to {high:+.{digits}f}")


def difference(
    shift: Estimate | Shift,
    *,
    unit: str,
    scale: int | float = 1,
    digits: int = 0,
    words: tuple[str, str] = ("lower", "higher"),
) -> str:
    """A difference in words: its size, its direction and its interval.

    Args:
        shift: the difference.
        unit: of the scaled number.
        scale: what it is multiplied by first.
        digits: after the point.
        words: for a difference below and above zero.

    Example:
        >>> difference(Estimate(-0.2, low=-0.3, high=-0.1), unit="points", scale=100.0)
        '20 points lower (10 to 30)'
    """
    value, low, high = (scale * number for number in (shift.value, shift.low, shift.high))
    return f"{abs(value):.{digits}f} {unit} {words[int(value >= 0)]} ({interval(low, high, digits=digits)})"
