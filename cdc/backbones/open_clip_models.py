"""open_clip models by name: architectures with a tag or a checkpoint, hub repositories, local directories."""

import difflib
import logging
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import huggingface_hub
import open_clip
import torch
from transformers import AutoConfig

from cdc.backbones.backbone import DTYPES, Backbone, Precision, fingerprint, freeze
from cdc.backbones.deep_prompts import image_prompts
from cdc.backbones.frozen_clip import give_embeddings_only, text_tower
from cdc.backbones.preprocessing import of_open_clip
from cdc.errors import InputError
from cdc.hub import hub_or_cache

_log = logging.getLogger("cdc")


def load_open_clip(
    name: str, pretrained: str | None, *, device: str, precision: Precision, others: Sequence[str] = ()
) -> Backbone:
    """Load an open_clip model as a backbone.

    Args:
        name: an architecture, ``"hf-hub:..."`` or a local directory.
        pretrained: for an architecture, a tag, a checkpoint path or None for random weights.
        device: where the towers live.
        precision: of weights and activations.
        others: backbones with a name of their own, for the suggestions of an error.

    Raises:
        InputError: if the name or tag is unknown, or the weights cannot be fetched or read.

    Example:
        >>> load_open_clip("ViT-L-41", None, device="cpu", precision="fp32")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: backbone must be an open_clip architecture, 'hf-hub:organisation/model', a local
        directory, 'picto' or 'photo'; received 'ViT-L-41'. Did you mean 'ViT-L-16', 'ViT-L-14', 'ViT-S-16'?
    """
    source = _source(name, pretrained, others)
    with _silent_root_logger(), hub_or_cache(needed=_needs_hub(source, pretrained)) as reachable:
        try:
            configuration = _configuration(source, pretrained)
            # Before the towers, which can take half a minute to build.
            tokenizer = _tokenizer(name, source, reachable=reachable)
            model, preprocess = _build(source, pretrained)
            text = text_tower(model, tokenizer)
        except InputError:
            raise
        except Exception as error:  # whatever open_clip and the hub make of a bad file, name or connection
            raise InputError(_why_not(name, source, pretrained, error, reachable=reachable)) from error
    freeze(model)
    logit_scale = float(model.logit_scale.exp())
    logit_bias = 0.0 if model.logit_bias is None else float(model.logit_bias)
    mark = fingerprint(model.float(), "fp32", configuration, model.visual.preprocess_cfg)
    # Cast whole: open_clip's own mixture of precisions fails on layer scale, linear projections and CoCa.
    model.to(device, DTYPES[precision])
    give_embeddings_only(model)
    return Backbone(
        name=name, pretrained=pretrained, precision=precision, device=torch.device(device),
        dim=configuration["embed_dim"], logit_scale=logit_scale, text=text, image_tower=model.visual,
        preprocess=preprocess, fingerprint=mark,
        logit_bias=logit_bias, image_prompts=image_prompts(model.visual),
        preprocessing=of_open_clip(model.visual.preprocess_cfg),
    )  # fmt: skip


def repository_of_tag(name: str, pretrained: str) -> str | None:
    """The repository on the model hub that holds a tag's weights; None if open_clip gets them elsewhere.

    Example:
        >>> repository_of_tag("ViT-B-16", "openai")
        'timm/vit_base_patch16_clip_224.openai'
    """
    config: dict[str, Any] = open_clip.get_pretrained_cfg(name.replace("/", "-"), pretrained)
    return config.get("hf_hub", "").rpartition("/")[0] or None


def is_published(name: str, pretrained: str | None) -> bool:
    """Whether open_clip itself knows the architecture and where its weights come from, if not from a fixed seed.

    Example:
        >>> is_published("ViT-B-16", "openai"), is_published("ViT-B-16", "mine.safetensors")
        (True, False)
    """
    architecture = name.replace("/", "-")
    known = architecture in open_clip.list_models()
    return known and (pretrained is None or open_clip.is_pretrained_cfg(architecture, pretrained))


def _source(name: str, pretrained: str | None, others: Sequence[str]) -> str:
    """The name as open_clip spells it, once an architecture and its tag are known to exist."""
    if Path(name).is_dir():
        return f"local-dir:{Path(name).resolve()}"
    if name.startswith("hf-hub:"):
        return name
    architecture = name.replace("/", "-")
    known = open_clip.list_models()
    if architecture not in known:
        raise InputError(
            "backbone must be an open_clip architecture, 'hf-hub:organisation/model', a local directory, 'picto' "
            f"or 'photo'; received {name!r}. {_suggest(architecture, [*known, *others])}"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if pretrained is None:
        remedy = f"a tag, such as {tags[0]!r}, or " if tags else ""
        _log.warning("%s has random weights. Pass pretrained=, %sthe path of a checkpoint.", name, remedy)
    elif not open_clip.is_pretrained_cfg(architecture, pretrained) and not Path(pretrained).is_file():
        raise InputError(
            f"pretrained must be a tag of {name} or the path of a checkpoint; received {pretrained!r}. "
            f"{_suggest(pretrained, tags)}"
        )
    return architecture


def _suggest(received: str, known: Sequence[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = [by_lower[name] for name in difflib.get_close_matches(received.lower(), by_lower, n=3, cutoff=0.5)]
    if near:
        return f"Did you mean {', '.join(map(repr, near))}?"
    return f"Known are {', '.join(known)}." if known else "It has no tags: pass the path of a checkpoint."


def _tokenizer(name: str, source: str, *, reachable: bool) -> Any:  # noqa: ANN401 - open_clip has three classes
    """open_clip's tokenizer, once the configuration of a transformers tower is known to be there.

    Python code that comes with either is never run, whatever the model's own files ask for.
    """
    config: dict[str, Any] = open_clip.get_model_config(source) or {}
    text, data_alone = config["text_cfg"], dict[str, Any](trust_remote_code=False)
    try:
        if "hf_model_name" in text:
            AutoConfig.from_pretrained(text["hf_model_name"], **data_alone)
        return open_clip.get_tokenizer(source, **(data_alone if text.get("hf_tokenizer_name") else {}))
    except Exception as error:  # whatever open_clip, transformers and the hub make of missing files
        needed = "the tokenizer's files (tokenizer.json, tokenizer_config.json)"
        if "trust_remote_code" in str(error):
            reason, remedy = "Python code comes with them, which is never run", "Use a model that is data alone."
        elif source.startswith("local-dir:"):
            reason, remedy = _reason(error), f"Put {needed} into that directory."
        elif reachable:
            reason, remedy = _reason(error), "Check that the model hub has them."
        else:
            reason = f"{huggingface_hub.constants.ENDPOINT} cannot be reached and the cache lacks them"
            remedy = (
                f"Connect to the internet, or pass a local directory with open_clip_config.json, weights and {needed}, "
                "or use 'picto' or 'photo', which need no hub."
            )
        files = ", ".join(str(text[key]) for key in ("hf_model_name", "hf_tokenizer_name") if key in text)
        what = f"the tokenizer and text settings of {name!r}{f' ({files})' if files else ''}"
        raise InputError(f"{what} must load; {reason}. {remedy}") from error


def _build(source: str, pretrained: str | None) -> tuple[Any, Any]:
    """open_clip's model in float32 on the CPU, and its test-time transform."""
    brings_weights = ":" in source
    # Random weights come from a fixed seed, so that an adapter saved on them finds them again.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model, _, preprocess = open_clip.create_model_and_transforms(
            source, pretrained, force_quick_gelu=_quick_gelu(source, pretrained), pretrained_text=False,
            require_pretrained=brings_weights or pretrained is not None,
        )  # fmt: skip
    return model, preprocess


def _quick_gelu(source: str, pretrained: str | None) -> bool:
    """Whether a tag's weights were trained with QuickGELU: under GELU they give silently worse features."""
    return pretrained is not None and bool(open_clip.get_pretrained_cfg(source, pretrained).get("quick_gelu"))


def _configuration(source: str, pretrained: str | None) -> dict[str, Any]:
    """What else than the weights makes the model's function, for its fingerprint."""
    config: dict[str, Any] = open_clip.get_model_config(source) or {}
    if _quick_gelu(source, pretrained):
        config["quick_gelu"] = True
    # Where a transformers tower comes from says nothing of what it computes, and a path would tie it to one machine.
    text = {
        key: value for key, value in config["text_cfg"].items() if key not in ("hf_model_name", "hf_tokenizer_name")
    }
    return {**config, "text_cfg": text}


def _why_not(name: str, source: str, pretrained: str | None, error: Exception, *, reachable: bool) -> str:
    """One line that says what could not be loaded, why, and what to do."""
    what = f"the weights of {name!r}" + (f" (pretrained={pretrained!r})" if pretrained else "")
    if not reachable and not source.startswith("local-dir:") and not Path(pretrained or "").is_file():
        return (
            f"{what} must be fetched from the model hub or found in its cache; {huggingface_hub.constants.ENDPOINT} "
            "cannot be reached and the cache lacks them. Connect to the internet, or pass the path of a downloaded "
            "checkpoint, or use 'picto' or 'photo', which need no hub."
        )
    reason = _reason(error)
    if isinstance(error, UnpicklingError):
        # torch's own words advise to switch off what keeps such a file from running code.
        found = re.search(r"GLOBAL (\S+)", str(error))
        reason = (
            f"it holds {found[1]}, which is code and no tensor"
            if found
            else "it is damaged, or holds more than tensors"
        )
        remedy = "Nothing but tensors is read: pass the weights as .safetensors."
    elif source.startswith("local-dir:"):
        remedy = "A directory needs open_clip_config.json and weights, for example open_clip_model.safetensors."
    elif source.startswith("hf-hub:"):
        remedy = "Check its name: a repository needs open_clip_config.json and weights."
    else:
        remedy = f"Pass a checkpoint of {source} (.safetensors or .pt) or one of its tags."
    return f"{what} must load; {reason}. {remedy}"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:240].rstrip(".")


def _needs_hub(source: str, pretrained: str | None) -> bool:
    if ":" in source:
        return source.startswith("hf-hub:")
    config: dict[str, Any] = open_clip.get_model_config(source) or {}
    of_transformers = any(key.startswith("hf_") for key in config["text_cfg"])
    return of_transformers or open_clip.is_pretrained_cfg(source, pretrained or "")


@contextmanager
def _silent_root_logger() -> Generator[None]:
    """Keep open_clip off the root logger, where it repeats what our errors and warnings say."""
    root = logging.getLogger()
    handler = logging.NullHandler()  # without a handler, open_clip's first message would configure logging

    def refuse(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(str(Path(open_clip.__file__).parent))

    root.addHandler(handler)
    root.addFilter(refuse)
    try:
        yield
    finally:
        root.removeFilter(refuse)
        root.removeHandler(handler)
