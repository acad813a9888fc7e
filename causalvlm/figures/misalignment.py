"""Task misalignment drawn: how often images are told by their whole description, and by each component of it."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from causalvlm.diagnosis.misalignment import Misalignment
from causalvlm.figures.style import STYLES, draw_interval, mark_percent, tidy_axes
from causalvlm.phrases import spoken

WHOLE, ASKED, OTHER = STYLES[1], STYLES[2], STYLES[0]


def draw_misalignment(found: Misalignment) -> Figure:
    """Draw the share of images that each text tells from the others that were offered, with what guessing gives.

    Args:
        found: what `ask_misalignment` returned.

    Returns:
        A figure of its own, without any global state of matplotlib.

    Example:
        >>> from causalvlm.diagnosis.misalignment import Match
        >>> from causalvlm.intervals import Estimate, Shift
        >>> one = Match("class", "a photo of a dog.", Estimate(0.5, 0.4, 0.6), 0.5, Estimate(0.0, -1.0, 1.0))
        >>> none = Shift(0.0, -0.1, 0.1, 1.0)
        >>> len(draw_misalignment(Misalignment(9, "{class}, {light}", one, one, (), none, None, (), (), None)).axes)
        1
    """
    rows = [("whole description", found.whole, WHOLE), ("class, as the task asks", found.by_class, ASKED)]
    rows += [(f"{spoken(one.part)} alone", one, OTHER) for one in found.components]
    figure = Figure(figsize=(6.4, 1.2 + 0.5 * len(rows)), dpi=130, layout="constrained")
    axes = figure.subplots()
    for place, (_, match, (colour, marker)) in enumerate(rows):
        draw_interval(axes, place, match.found, colour=colour, marker=marker)
        axes.plot([match.chance] * 2, [place - 0.04, place + 0.34], color="#999999", linewidth=1.5)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_yticks(range(len(rows)), [f" {name}" for name, _, _ in rows])
    mark_percent(axes)
    tidy_axes(axes, "", "share of images whose own text fits best")
    axes.legend(
        handles=[Line2D([], [], color="#999999", linewidth=1.5, label="by guessing")], loc="lower right", frameon=False,
        fontsize=8,
    )  # fmt: skip
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue] - names are text, dollar signs too
    return figure
