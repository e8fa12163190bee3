"""The Python package for pip: models, training, export and evaluation without ROS.

With ROS the package is built by colcon (package.xml, CMakeLists.txt), not by this file. For the
exact versions that are tested together, install requirements/core.txt first, and train.txt for
the extras. Without an extra, exported graphs run in ONNX Runtime, and PyTorch is not installed.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

#: The simulated tabletop: training, evaluation and the scenes that exported graphs are checked on.
WORLD = ["embreex>=4.4", "trimesh>=4.5"]
#: The network in PyTorch.
NETWORK = ["safetensors>=0.5", "torch>=2.6", "transformers>=5.20,<6"]
EXPORT = [*NETWORK, *WORLD, "onnx>=1.18", "onnx-ir>=0.1", "onnxscript>=0.7"]


class BuildWithFiles(build_py):
    """Put the shipped models and messages beside the code, where rose_ros.paths looks for them."""

    def run(self) -> None:
        """Build the modules, then copy models/ and msg/ into the package."""
        super().run()
        if self.editable_mode:
            return  # those of the checkout are found as they are
        for source, target in self.shipped_files():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what was built, the models included."""
        outputs: list[str] = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        return outputs + [str(target) for _, target in self.shipped_files()]

    def shipped_files(self) -> list[tuple[Path, Path]]:
        """Pair each file with its place in the build."""
        package = Path(self.build_lib) / "rose_ros"
        return [
            (path, package / name / path.relative_to(ROOT / folder))
            for folder, name in (("models", "models"), ("msg", "definitions"))
            for path in sorted((ROOT / folder).rglob("*"))
            if path.is_file()
        ]


def version() -> str:
    """Read the version from the package, without importing it."""
    text = (ROOT / "rose_ros" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("rose_ros/__init__.py does not say __version__")
    return match[1]


setup(
    name="rose_ros",
    version=version(),
    description="Open-set dense segmentation with names the model makes up itself",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # rose_ros.node needs ROS and is only installed by colcon.
    packages=find_packages(include=["rose_ros", "rose_ros.*"], exclude=["rose_ros.node*"]),
    package_data={"rose_ros": ["py.typed"]},
    python_requires=">=3.10",
    install_requires=[
        "numpy>=2.0",
        "onnxruntime>=1.23",
        "opencv-python-headless>=4.10",
        "rich>=13",
        "rosbags>=0.11",
        "scipy>=1.13",
        "tokenizers>=0.22",
    ],
    extras_require={
        "export": EXPORT,
        "torch": NETWORK,
        "train": [*NETWORK, *WORLD],
        "world": WORLD,
        "test": [
            *EXPORT,
            "hypothesis>=6",
            "pycocotools>=2.0.8",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "torchmetrics>=1.6",
        ],
    },
    entry_points={"console_scripts": ["rose_ros = rose_ros.cli:main"]},
    cmdclass={"build_py": BuildWithFiles},
)
