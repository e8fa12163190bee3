"""From the model's own scores to probabilities: two curves kept beside the checkpoint.

A curve scales and shifts the logit of a score (Platt 1999). ``rose_ros calibrate`` fits it. The
exported graphs do not depend on it, and all runtimes share it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rose_ros.errors import ModelError

FILE = "calibration.json"
#: Raised whenever files of before cannot be read by the code of now.
FORMAT = 1
#: Scores nearer to 0 or 1 than this count as this near: beyond, float32 tells little apart.
EDGE = 1e-4
#: A logit beyond this is 0 or 1 as a float32.
_LARGEST = 60.0
#: Bytes at either end of a file of weights that tell it from others; a file may have gigabytes.
_SAMPLE = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising curve from scores in [0, 1] to probabilities; slope 1 and bias 0 change nothing."""

    slope: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no rising curve with ``ModelError``."""
        numbers = (self.slope, self.bias)
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            raise ModelError(f"slope {self.slope} and bias {self.bias} must be finite numbers")
        if self.slope <= 0:
            raise ModelError(f"slope is {self.slope}; it must be above 0, so that order is kept")

    def __call__(self, score: float) -> float:
        """Return the probability of a score, both in [0, 1]."""
        if self.slope == 1.0 and self.bias == 0.0:
            return score
        turned = self.slope * logit(score) + self.bias
        return 1.0 / (1.0 + math.exp(-min(max(turned, -_LARGEST), _LARGEST)))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The curves of what is published: objectness, and scores of names."""

    objectness: Curve = field(default_factory=Curve)
    name: Curve = field(default_factory=Curve)


def logit(score: float) -> float:
    """Return the logit of a score in [0, 1], finite."""
    inside = min(max(score, EDGE), 1.0 - EDGE)
    return math.log(inside / (1.0 - inside))


def read_calibration(folder: Path) -> Calibration:
    """Read the curves of a checkpoint folder; without a file scores stay as they are.

    A file that was made for other weights is left out, with a warning. Raises ``ModelError`` when
    it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return Calibration()
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        found = given.get("format")
        if found != FORMAT:
            raise ModelError(f"{path} has format {found}; this version reads format {FORMAT}")
        curves = (
            Curve(given[name]["slope"], given[name]["bias"]) for name in ("objectness", "name")
        )
        calibration, weights = Calibration(*curves), given["weights"]
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"cannot read {path}: {error}; make it anew or remove it") from error
    if weights != fingerprint(folder):
        _log.warning(
            "%s was made for other weights, and scores are not calibrated; run: "
            "python -m rose_ros calibrate --model %s",
            path,
            folder,
        )
        return Calibration()
    return calibration


def write_calibration(folder: Path, calibration: Calibration, how: dict[str, Any]) -> Path:
    """Write the curves into a checkpoint folder, with ``how`` they were made; return the file."""
    value = {
        "format": FORMAT,
        **asdict(calibration),
        "weights": fingerprint(folder),
        "made": how,
    }
    path = folder / FILE
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def fingerprint(folder: Path) -> str:
    """Return what tells the weights of a checkpoint folder from others, in hexadecimal.

    Made of the sizes and the ends of the files: quick for files of any size, and no training
    leaves them as they are.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:32]
