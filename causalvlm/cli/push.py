"""`causalvlm push`: an adapter on the model hub, with a README of what is known about it."""

import json as plain
from pathlib import Path
from typing import Annotated

import typer

import cdc
from causalvlm.cli.output import ForceOption, JsonOption, check_adapter, check_json, console, say_first, write_result
from causalvlm.errors import InputError
from cdc.records import restore


def push(
    adapter: Annotated[Path, typer.Argument(help="Folder that adapt wrote.")],
    repository: Annotated[str, typer.Argument(help="On the model hub; made if it is not there.", metavar="OWNER/NAME")],
    revision: Annotated[str | None, typer.Option(help="Branch to commit to; by default the main one.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Only for those its owner lets in.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    licence: Annotated[str | None, typer.Option(help="The hub's name of it, such as mit.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="For the README: what evaluate --json wrote.")] = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Push an adapter to the model hub, with the token of `hf auth login` or of HF_TOKEN.

    Example: causalvlm push adapter/ somebody/otters
    """
    check_json(json, force=force)
    check_adapter(adapter)
    say_first(f"pushing {adapter} to {repository}")
    loaded = cdc.load_adapter(adapter)
    scores = None if evaluation is None else _read_scores(evaluation, loaded.card)
    pushed = loaded.push_to_hub(
        repository, revision=revision, private=private, commit_message=message, licence=licence, evaluation=scores
    )
    console().print(f"pushed to {pushed.repository} as commit {pushed.commit}", soft_wrap=True)
    write_result(json, pushed.to_record(), force=force)


def _read_scores(file: Path, card: "cdc.AdapterCard") -> dict[str, "cdc.Scores"]:
    """What a file of results says of the adapter with this card, by what it was measured on."""
    try:
        result = plain.loads(file.read_text())
        measured = cdc.AdapterCard.from_record(result["card"])
        scores = restore(cdc.Scores, {name: result[name] for name in ("accuracy", "ece", "aurc", "n")})
        what = f"test images of {result['data']}, {result['classes']} classes"
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"an evaluation must be what evaluate --json wrote; received {file}, which is none. Write it anew."
        ) from error
    if measured != card:
        raise InputError(
            f"an evaluation must be of the adapter that is pushed; {file} is of another. Evaluate this one."
        )
    return {what: scores}
