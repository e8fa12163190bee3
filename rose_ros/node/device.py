"""What diagnostics say of the model's files and of the device it runs on."""

from __future__ import annotations

import sys

from rose_ros.errors import ModelError
from rose_ros.paths import find_model
from rose_ros.runtime.base import Runtime
from rose_ros.runtime.manifest import FILE, FOLDER, hash_file

#: bytes: larger files are not read once more only to say their hash.
_MAX_HASHED = 1 << 30
_GPU_KEYS = ("gpu_name", "gpu_mem_used_mb", "gpu_mem_free_mb", "gpu_temp_c")


def describe_runtime(model: str, runtime: Runtime) -> dict[str, str]:
    """Return name, runtime, device and, of what runs, the SHA-256: weights, or graphs' manifest."""
    return {
        "model": runtime.model_name,
        "runtime": runtime.kind,
        "device": str(runtime.device),
        "engine_sha256": _hash_of(model, runtime.kind),
        "tensorrt": str(getattr(sys.modules.get("tensorrt"), "__version__", "")),
    }


def _hash_of(model: str, kind: str) -> str:
    """Return "" where there is no file, several, or one that is too large."""
    try:
        folder = find_model(model)
    except ModelError:
        return ""
    files = [folder / FOLDER / FILE] if kind == "onnx" else list(folder.glob("*.safetensors"))
    if len(files) != 1 or not files[0].is_file() or files[0].stat().st_size > _MAX_HASHED:
        return ""
    return hash_file(files[0])


def describe_gpu(device: str) -> dict[str, str]:
    """Return name, memory in MB and temperature in Celsius of a CUDA device; "" where unknown.

    To be called on the thread that owns the device.
    """
    values = dict.fromkeys(_GPU_KEYS, "")
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return values
    free, total = torch.cuda.mem_get_info(device)
    values["gpu_name"] = torch.cuda.get_device_name(device)
    values["gpu_mem_used_mb"] = f"{(total - free) / 1e6:.0f}"
    values["gpu_mem_free_mb"] = f"{free / 1e6:.0f}"
    try:
        values["gpu_temp_c"] = str(torch.cuda.temperature(device))
    except (ImportError, RuntimeError):  # it needs NVIDIA's management library
        return values
    return values
