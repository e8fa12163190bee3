"""The network, Hugging Face style: configuration, modeling, processing.

Names are resolved on first use, so that the processor can be had without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rose_ros.model.configuration import RoseConfig
    from rose_ros.model.modeling import RoseModel
    from rose_ros.model.processing import RoseProcessor

__all__ = ["RoseConfig", "RoseModel", "RoseProcessor"]

_HOMES = {"RoseConfig": "configuration", "RoseModel": "modeling", "RoseProcessor": "processing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
