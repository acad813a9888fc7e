"""CDC: several learnable prompt templates on a frozen CLIP, fused by Dempster-Shafer theory.

Names load on first use, so that ``import cdc`` costs milliseconds; `__init__.pyi` says where each one lives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
