"""Under ROS_SECURITY_STRATEGY=Enforce with security/policy.xml: all works, and nothing else does.

Runs where ``ros2 security`` is installed and the DDS was built with its security plugins; that of
the Python wheels was not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "security" / "policy.xml"
ROLE = str(ROOT / "test" / "support" / "secured.py")
SECONDS = 200.0
#: What a DDS says that was built without security.
WITHOUT = ("security libraries", "ENABLE_SECURITY", "SECURITY=ON")

pytestmark = pytest.mark.timeout(900)

Secured = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make keys and permissions of the policy; return the environment of a secured node."""
    pytest.importorskip("sros2", reason="sros2 is not installed")
    if shutil.which("ros2") is None:
        pytest.skip("the command ros2 is not installed")
    keys = tmp_path_factory.mktemp("security") / "keystore"
    for command in (
        ["create_keystore", str(keys)],
        ["generate_artifacts", "-k", str(keys), "-p", str(POLICY)],
    ):
        done = subprocess.run(
            ["ros2", "security", *command], capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stderr
    assert sorted(f.parent.name for f in keys.glob("enclaves/**/permissions.p7s")) == [
        "camera",
        "operator",
        "perception",
        "planner",
    ]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "ROS_SECURITY_KEYSTORE": str(keys),
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
    }


@pytest.fixture(scope="module")
def secured(environment: dict[str, str]) -> Secured:
    """The way to play a role: ``secured("ask", enclave="/rose/planner")``."""

    def play(*words: str, enclave: str, name: str = "planner", **changed: str) -> dict[str, Any]:
        line = [sys.executable, ROLE, *words, "--ros-args", "--enclave", enclave]
        done = subprocess.run(
            [*line, "-r", f"__node:={name}"],
            env={**environment, **changed},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    said = play("subscribe", "/rose/segments", enclave="/rose/planner")
    if any(text in said.get("refused", "") for text in WITHOUT):
        pytest.skip(f"this DDS has no security: {said['refused']}")
    assert said == {"allowed": True}
    return play


@pytest.fixture(scope="module")
def seen(secured: Secured, environment: dict[str, str], tmp_path_factory: Any) -> Iterator[Any]:
    """Camera with depth, perception, and what a planner heard and was answered."""
    folder = tmp_path_factory.mktemp("logs")
    programs = {
        "camera": ["__ns:=/camera", "depth:=true", "frames:=5"],
        "perception": ["__ns:=/rose", "camera.camera.depth_topic:=/camera/depth"],
    }
    processes = []
    for name, (namespace, *parameters) in programs.items():
        line = [sys.executable, "-m", f"rose_ros.node.{name}_node", "--ros-args"]
        enclave = "/camera/camera" if name == "camera" else "/rose/perception"
        line += ["--enclave", enclave, "-r", namespace, "-r", "/rose/image:=/camera/image"]
        for parameter in parameters:
            line += ["-p", parameter]
        with (folder / f"{name}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(line, env=environment, cwd=ROOT, stdout=log, stderr=log)
            )
    try:
        end = time.monotonic() + SECONDS
        while b"active: " not in (folder / "perception.log").read_bytes():
            assert time.monotonic() < end, (folder / "perception.log").read_text()
            assert all(process.poll() is None for process in processes)
            time.sleep(0.2)
        yield secured("ask", enclave="/rose/planner")
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(SECONDS) for process in processes]
        logs = {f.stem: f.read_text(errors="replace") for f in folder.glob("*.log")}
        for name, text in logs.items():
            print(f"--- {name}\n{text}")
        assert codes == [0, 0]
        assert "active: /camera/image" in logs["perception"]
        assert "Traceback" not in "".join(logs.values())


def test_a_planner_hears_and_corrects(seen: dict[str, Any]) -> None:
    assert seen["arrays"] > 0
    assert (seen["status"], seen["names"]) == ("OK", ["funnel"])


@pytest.mark.parametrize("topic", ["/rose/segments", "/camera/image", "/rose/refinements"])
def test_a_planner_cannot_speak_as_another(
    seen: dict[str, Any], secured: Secured, topic: str
) -> None:
    assert "refused" in secured("publish", topic, enclave="/rose/planner")


def test_a_planner_hears_only_what_it_needs(seen: dict[str, Any], secured: Secured) -> None:
    assert "refused" in secured("subscribe", "/rose/refinements", enclave="/rose/planner")


def test_an_operator_hears_but_does_not_correct(seen: dict[str, Any], secured: Secured) -> None:
    assert secured("listen", "90", enclave="/rose/operator", name="operator")["arrays"] > 0
    assert "refused" in secured("call", enclave="/rose/operator", name="operator")


def test_who_has_no_keys_hears_nothing(seen: dict[str, Any], secured: Secured) -> None:
    assert "refused" in secured("listen", "10", enclave="/rose/stranger")
    open_node = secured("listen", "10", enclave="/", ROS_SECURITY_ENABLE="false")
    assert open_node == {"arrays": 0}


@pytest.mark.parametrize(
    "command",
    [
        ["lifecycle", "get", "--no-daemon", "/rose/perception"],
        ["param", "get", "--no-daemon", "/rose/perception", "max_rate"],
        ["topic", "echo", "--no-daemon", "--once", "--field", "header", "/rose/segments"],
    ],
    ids=["state", "parameter", "segments"],
)
def test_an_operator_has_the_ros2_commands(
    seen: dict[str, Any], environment: dict[str, str], command: list[str]
) -> None:
    # A node that ros2 has just made knows the others only after a moment.
    text, end = "", time.monotonic() + SECONDS
    while time.monotonic() < end:
        done = subprocess.run(
            ["ros2", *command],
            env={**environment, "ROS_SECURITY_ENCLAVE_OVERRIDE": "/rose/operator"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        text = done.stdout + done.stderr
        assert "failed to" not in text.lower()
        if done.returncode == 0 and any(
            word in done.stdout for word in ("active", "value is", "frame_id")
        ):
            return
    raise AssertionError(text)
