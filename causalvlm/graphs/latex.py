"""How the name of a node is set in LaTeX."""

import re


def latex_name(name: str) -> str:
    r"""Set a node's name in LaTeX math: `G_i`, `S1` and `Y_hat` as symbols, longer names upright.

    Example:
        >>> latex_name("G_i"), latex_name("Y_hat"), latex_name("S1"), latex_name("bird size")
        ('G_{i}', '\\hat{Y}', 'S_{1}', '\\mathrm{bird\\ size}')
    """
    if match := re.fullmatch(r"([A-Za-z])_?hat", name):
        return rf"\hat{{{match[1]}}}"
    if match := re.fullmatch(r"([A-Za-z])(?:_?(\d+)|_([A-Za-z]{1,2}))", name):
        return f"{match[1]}_{{{match[2] or match[3]}}}"
    if len(name) == 1:
        return name
    escaped = re.sub(r"([_%$#&{}])", r"\\\1", name).replace(" ", r"\ ")
    return rf"\mathrm{{{escaped}}}"
