"""The methods by name: the only place that names them. A method of one's own joins them by `register_method`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from reprlib import repr as short
from typing import Any

from cdc.backbones.backbone import Backbone
from cdc.errors import InputError
from cdc.methods.cdc import CDC, PAPER, CDCConfig
from cdc.methods.cocoop import CoCoOp, CoCoOpConfig
from cdc.methods.coop import CoOp, CoOpConfig
from cdc.methods.kgcoop import KgCoOp, KgCoOpConfig
from cdc.methods.maple import MaPLe, MaPLeConfig
from cdc.methods.method import Method, MethodConfig, Task
from cdc.methods.promptsrc import PromptSRC, PromptSRCConfig
from cdc.methods.zero_shot import ZeroShot, ZeroShotConfig
from cdc.records import restore

MethodClass = Callable[[Backbone, Any, Task], Method]
"""How a method is made from towers, settings and task; a class whose constructor takes these three is one."""


@dataclass(frozen=True)
class Entry:
    """A method as the registry knows it.

    Attributes:
        config: class of its settings.
        method: makes it from towers, settings and task.
        help: one line on what it does.
        variants: further settings that have a name of their own, such as ``cdc:paper``, each with how it differs.
        sees: what it learns from, in a phrase for tables: ``"shots"``, or more, such as ``"shots, language model"``.
    """

    config: type[Any]
    method: MethodClass
    help: str
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sees: str = "shots"


METHODS: dict[str, Entry] = {
    entry.config.name: entry
    for entry in (
        Entry(CDCConfig, CDC, "several learnable templates, fused by Dempster-Shafer theory", {"paper": PAPER}),
        Entry(CoOpConfig, CoOp, "one learnable context before the class name, cross-entropy"),
        Entry(KgCoOpConfig, KgCoOp, "CoOp with a pull towards the hand-crafted prompts"),
        Entry(CoCoOpConfig, CoCoOp, "CoOp whose context is shifted by what is seen in the image"),
        Entry(MaPLeConfig, MaPLe, "deep prompts in both towers, coupled; trains on pixels"),
        Entry(PromptSRCConfig, PromptSRC, "deep prompts in both towers, held near the frozen model; trains on pixels"),
        Entry(
            ZeroShotConfig,
            ZeroShot,
            "the data set's hand-crafted template; nothing to train",
            variants={"ensemble": {"ensemble": True}},
            sees="nothing",
        ),
    )
}
"""Every method by the name of its settings."""


def register_method(
    config: type[Any],
    method: MethodClass,
    *,
    help: str,  # noqa: A002 - its field
    sees: str = "shots",
) -> None:
    """Make a method of your own known, so that everything here takes it: adapt, save, load, protocols, diagnosis.

    An adapter of it is loaded where it has been registered; `docs/own_method.md` walks through one.

    Args:
        config: frozen dataclass of its settings, with a class variable `name`.
        method: makes it from ``(backbone, config, task)``; see `Method` and `Trainable`.
        help: one line on what it does.
        sees: what it learns from, as tables of the protocols say it.

    Raises:
        InputError: if the settings are no frozen dataclass with a name, or another method has that name.

    Example:
        >>> from typing import ClassVar
        >>> @dataclass(frozen=True)
        ... class PlainConfig:
        ...     name: ClassVar[str] = "plain"
        >>> register_method(PlainConfig, ZeroShot, help="an echo")
        >>> find_method("plain").help
        'an echo'
        >>> del METHODS["plain"]
    """
    name = getattr(config, "name", None)
    frozen = is_dataclass(config) and config.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    if not frozen or not isinstance(name, str) or not name:
        raise InputError(
            "settings of a method must be a frozen dataclass with a class variable 'name'; received "
            f"{getattr(config, '__name__', config)!r}. Write @dataclass(frozen=True) and name: ClassVar[str] = 'mine'."
        )
    if name in METHODS and METHODS[name].config is not config:
        raise InputError(
            f"a method's name must be its own; received {name!r}, which {METHODS[name].config.__name__} has. Choose "
            "another name."
        )
    METHODS[name] = Entry(config, method, help, sees=sees)


def find_method(name: str) -> Entry:
    """The method of this name.

    Raises:
        InputError: if there is none.

    Example:
        >>> find_method("coop").config()
        CoOpConfig(context_tokens=4)
    """
    if name not in METHODS:
        raise InputError(
            f"method must be one of {', '.join(METHODS)}; received {short(name)}. Register one of your own with "
            "cdc.register_method first."
        )
    return METHODS[name]


def method_config(name: str) -> MethodConfig:
    """The settings that a name stands for: a method's defaults, or a named variant of them after a colon.

    Raises:
        InputError: if there is no such method or variant.

    Example:
        >>> method_config("coop")
        CoOpConfig(context_tokens=4)
        >>> method_config("zero-shot:ensemble")
        ZeroShotConfig(ensemble=True)
        >>> method_config("coop:best")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: coop has no variants; received 'coop:best'. ...
    """
    method, colon, variant = name.partition(":")
    entry = find_method(method)
    if not colon:
        return entry.config()
    if variant not in entry.variants:
        known = ", ".join(f"{method}:{known}" for known in entry.variants)
        raise InputError(
            f"{method} has {f'the variants {known}' if known else 'no variants'}; received {name!r}. See "
            f"cdc.METHODS[{method!r}]."
        )
    return entry.config(**entry.variants[variant])


def build_method(config: MethodConfig, backbone: Backbone, task: Task) -> Method:
    """The untrained method that `config` describes.

    Raises:
        InputError: if the method is not registered.

    Example:
        >>> import cdc
        >>> task = Task(("dog", "cat"), "a photo of a {}.", seed=1)
        >>> build_method(CoOpConfig(), cdc.load_backbone("picto"), task).classifier(["horse"]).text.shape
        torch.Size([1, 192])
    """
    return find_method(config.name).method(backbone, config, task)


def method_record(config: MethodConfig) -> dict[str, Any]:
    """Settings as plain values for JSON, with the method's name.

    Example:
        >>> method_record(CoOpConfig())
        {'name': 'coop', 'context_tokens': 4}
    """
    return {"name": config.name, **asdict(config)}


def method_from_record(record: Mapping[str, Any]) -> MethodConfig:
    """The settings that `method_record` wrote; an unknown method or setting is refused.

    Raises:
        InputError: if the method or a setting is unknown, or a setting is of another type.

    Example:
        >>> method_from_record({"name": "cdc", "templates": 2}).templates
        2
    """
    values = dict(record)
    return restore(find_method(str(values.pop("name", ""))).config, values)
