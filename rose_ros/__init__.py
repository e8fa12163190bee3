"""Open-set dense segmentation for ROS 2: instance masks with names the model makes up itself."""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rose_ros.perception.perceiver import Perceiver

# The generated messages (rose_ros.msg, rose_ros.srv) live in colcon's install space; the Python
# sources may come from a checkout or from pip. One package name, two folders.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"


def load(
    model: str | Path = "rose-tiny", *, runtime: str = "auto", device: str = "auto"
) -> Perceiver:
    """Load a model for use without ROS: ``rose_ros.load().segment(image)``.

    ``model`` is a checkpoint folder or the name of a shipped one. Raises ``ModelError`` with the
    path and the reason when the checkpoint is missing or broken.
    """
    from rose_ros.perception.perceiver import Perceiver
    from rose_ros.runtime import create_runtime

    return Perceiver(create_runtime(model, runtime=runtime, device=device))
