"""Render a world in a process of its own, so that publishing never waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import build_world

#: Added to the process's niceness: frames must go out in time, new poses can wait.
_NICENESS = 10


Receive = Callable[[NDArray[np.uint8], NDArray[np.uint16]], None]


class OrbitRenderer:
    """Call ``receive(image, depth)`` for each pose once it is ready.

    image: uint8 (height, width, 3), RGB. depth: uint16 (height, width), millimetres, 0 where it is
    too far for that.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        seed: int,
        split: str,
        poses: int,
        height: int,
        width: int,
    ) -> None:
        """Start rendering; the images come from a thread."""
        self._receive = receive
        self._size = (height, width)
        arguments = (seed, split, poses, height, width)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *(str(value) for value in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._run, name="orbit_images", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the process; say whether everything ended within ``timeout`` seconds."""
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as frames:
            while True:
                image = _read(frames, (*self._size, 3), np.uint8)
                depth = _read(frames, self._size, np.uint16)
                if image is None or depth is None:
                    break
                self._receive(image, depth)
        self._process.wait()


def _read(file: IO[bytes], shape: tuple[int, ...], kind: type) -> NDArray[Any] | None:
    """Read an array; None at the end of the file."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    data = file.read(size)
    return np.frombuffer(data, kind).reshape(shape) if len(data) == size else None


def to_millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round metres to what a 16UC1 depth image holds; 0 for what is too far for it."""
    millimetres = np.rint(depth.astype(np.float64) * 1000.0)
    return np.where(millimetres <= np.iinfo(np.uint16).max, millimetres, 0).astype(np.uint16)


def main(arguments: list[str]) -> int:
    """Write image and depth of each pose to the standard output until nobody reads any more."""
    # Ctrl-C in a terminal reaches all its processes; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    seed, split = int(arguments[0]), arguments[1]
    poses, height, width = (int(value) for value in arguments[2:])
    world = build_world(seed, split)
    try:
        for view in world.orbit(poses):
            scene = world.render(view, height=height, width=width)
            sys.stdout.buffer.write(np.ascontiguousarray(scene.image).data)
            sys.stdout.buffer.write(to_millimetres(scene.depth).data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python would try to flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
