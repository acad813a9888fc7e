"""`causalvlm demo`: the whole story on a bundled model, offline, ending in a report."""

from pathlib import Path
from typing import Annotated

import typer

import cdc
from causalvlm.cli.output import ForceOption, JsonOption, console, say_first, write_result
from cdc.data.splits import LARGEST_SEED
from cdc.files import in_use, write_bytes

REPORT = "report.html"


def demo(
    out: Annotated[Path, typer.Option(help=f"Folder for {REPORT}.")] = Path("causalvlm-demo"),
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of every draw, and of the adaptation.")] = 1,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Show on a bundled model why it fails, what causes it and what mends it. Nothing is downloaded; minutes.

    Example: causalvlm demo --out demo/
    """
    report = out / REPORT
    with in_use(out, writes=(report, *((json,) if json else ())), force=force):
        say_first("loading picto and drawing its pictures; the demo takes minutes")
        story = _study(report, json, seed)
    for paragraph in story:
        console().print(paragraph)
        console().print()
    console().print(f"report saved in {report}", soft_wrap=True)


def _study(report: Path, json: Path | None, seed: int) -> tuple[str, ...]:
    """Run the study, write what came of it, and return the story."""
    from causalvlm.demo.page import to_page
    from causalvlm.demo.settings import DemoSettings
    from causalvlm.demo.study import run_study
    from causalvlm.demo.wording import tell

    settings = DemoSettings(seed=seed)
    result, pictures = run_study(settings)
    story = tell(result)
    write_bytes(report, to_page(result, pictures, settings, cdc.provenance()).encode())
    record = {
        **result.to_record(),
        "story": list(story),
        "report": str(report),
        "settings": vars(settings),
        "seed": seed,
    }
    write_result(json, record, force=True)
    return story
