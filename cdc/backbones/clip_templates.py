"""The hand-crafted templates that CLIP's authors ensembled on ImageNet, as open_clip keeps them."""


def ensemble_templates() -> tuple[str, ...]:
    """All 80 (Radford et al., ICML 2021, section 3.1.4).

    Example:
        >>> len(ensemble_templates()), ensemble_templates()[0]
        (80, 'a bad photo of a {}.')
    """
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def select_templates() -> tuple[str, ...]:
    """The seven of them that do nearly as well, in CLIP's public notebook on prompt engineering.

    Example:
        >>> len(select_templates()), select_templates()[0]
        (7, 'itap of a {}.')
    """
    from open_clip import SIMPLE_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in SIMPLE_IMAGENET_TEMPLATES)
