"""Render a world in a process of its own, so that publishing never waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop import build_world

#: Added to the process's niceness: frames must go out in time, new poses can wait.
_NICENESS = 10


class OrbitRenderer:
    """Call ``receive`` with the image of each pose, uint8 (height, width, 3), once it is ready."""

    def __init__(
        self,
        receive: Callable[[NDArray[np.uint8]], None],
        *,
        seed: int,
        split: str,
        poses: int,
        height: int,
        width: int,
    ) -> None:
        """Start rendering; the images come from a thread."""
        self._receive = receive
        self._shape = (height, width, 3)
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
        size = int(np.prod(self._shape))
        with self._process.stdout as images:
            while len(data := images.read(size)) == size:
                self._receive(np.frombuffer(data, np.uint8).reshape(self._shape))
        self._process.wait()


def main(arguments: list[str]) -> int:
    """Write the image of each pose to the standard output; end when nobody reads any more."""
    # Ctrl-C in a terminal reaches all its processes; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    seed, split = int(arguments[0]), arguments[1]
    poses, height, width = (int(value) for value in arguments[2:])
    world = build_world(seed, split)
    try:
        for view in world.orbit(poses):
            image = world.render(view, height=height, width=width).image
            sys.stdout.buffer.write(np.ascontiguousarray(image).data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Python would try to flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
