"""How the name of a node is set in LaTeX."""

import re

_SPECIAL = re.compile(r"[\\^~_%$#&{}\s]")
_COMMANDS = {"\\": r"\backslash{}", "^": r"\wedge{}", "~": r"\sim{}", "\t": r"\ ", "\r": r"\ "}
"""What a backslash does not make a character of."""


def latex_name(name: str) -> str:
    r"""Set a node's name in LaTeX math: `G_i`, `S1` and `Y_hat` as symbols, longer names upright and letter by letter.

    Example:
        >>> latex_name("G_i"), latex_name("Y_hat"), latex_name("S1"), latex_name("bird size")
        ('G_{i}', '\\hat{Y}', 'S_{1}', '\\mathrm{bird\\ size}')
        >>> print(latex_name("100 %"), latex_name("$x^2$"))
        \mathrm{100\ \%} \mathrm{\$x\wedge{}2\$}
    """
    if match := re.fullmatch(r"([A-Za-z])_?hat", name):
        return rf"\hat{{{match[1]}}}"
    if match := re.fullmatch(r"([A-Za-z])(?:_?(\d+)|_([A-Za-z]{1,2}))", name):
        return f"{match[1]}_{{{match[2] or match[3]}}}"
    if len(name) == 1 and name.isalnum():
        return name
    return rf"\mathrm{{{re.sub(_SPECIAL, _escape, name)}}}"


def _escape(found: re.Match[str]) -> str:
    return _COMMANDS.get(found[0], rf"\{found[0]}")
