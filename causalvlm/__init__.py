"""Why does a CLIP-like model fail on your data? Causal diagnostics of vision-language models.

Names load on first use, so that ``import causalvlm`` costs milliseconds; `__init__.pyi` says where each one lives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
