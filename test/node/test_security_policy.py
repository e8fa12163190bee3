"""security/policy.xml allows what the running nodes have, and nothing that they do not have."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rclpy._rclpy_pybind11 import NodeNameNonExistentError
from rclpy.node import Node

from rose_ros.node.planner import Planner

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "security" / "policy.xml"
#: Decided by the parameter use_sim_time, and by whether vision_msgs is installed.
SOMETIMES = {
    "/clock",
    "/rose/detections",
    "/rose/detections_3d",
    "/rose/label_image",
    "/rose/label_info",
}

Graph = dict[str, set[str]]


def allowed(enclave: str) -> Graph:
    """List what an enclave may do: by publish, subscribe, reply and request."""
    found: Graph = {kind: set() for kind in ("publish", "subscribe", "reply", "request")}
    (node,) = ElementTree.parse(POLICY).getroot().findall(f"enclaves/enclave[@path='{enclave}']")
    for rules in node.findall("profiles/profile/*"):
        assert rules.tag in ("topics", "services")
        for kind, qualifier in rules.attrib.items():
            assert qualifier == "ALLOW"
            assert kind in (
                ("publish", "subscribe") if rules.tag == "topics" else ("reply", "request")
            )
            found[kind] |= {element.text or "" for element in rules}
    return found


def graph(observer: Node, name: str, namespace: str) -> Graph:
    """List what a running node has, as others see it; nothing while it is not yet known."""
    calls: dict[str, Callable[..., Any]] = {
        "publish": observer.get_publisher_names_and_types_by_node,
        "subscribe": observer.get_subscriber_names_and_types_by_node,
        "reply": observer.get_service_names_and_types_by_node,
        "request": observer.get_client_names_and_types_by_node,
    }
    try:
        return {kind: {item for item, _ in call(name, namespace)} for kind, call in calls.items()}
    except NodeNameNonExistentError:
        return {kind: set() for kind in calls}


@pytest.fixture(scope="module")
def perception(robot: Any, start: Callable[..., Any]) -> Iterator[Graph]:
    """What the active perception node has, with a camera that has depth."""
    with start(camera__camera__depth_topic="/camera/depth") as process:
        robot.wait_for_state("active", process)
        robot.wait_until(
            lambda: (
                "/camera/image" in graph(robot.node, "perception", "/rose")["subscribe"]
                and "/rose/segments" in graph(robot.node, "perception", "/rose")["publish"]
            ),
            "the node's topics",
        )
        yield graph(robot.node, "perception", "/rose")


def test_the_perception_node_may_do_what_it_does_and_nothing_else(perception: Graph) -> None:
    for kind, names in allowed("/rose/perception").items():
        assert names - SOMETIMES == perception[kind] - SOMETIMES, kind


def test_the_planner_may_do_what_it_does_and_clear(robot: Any) -> None:
    planner = Planner(context=robot.context, namespace="/rose")
    try:
        robot.wait_until(
            lambda: "/rose/planner/list_parameters" in _own(robot, planner)["reply"],
            "the planner's services",
        )
        has = _own(robot, planner)
    finally:
        planner.destroy_node()
    # The demo's planner looks at its own image topic, and clears nothing.
    has["subscribe"] = {"/camera/image" if t == "/rose/image" else t for t in has["subscribe"]}
    has["request"].add("/rose/clear_refinements")
    for kind, names in allowed("/rose/planner").items():
        assert names - SOMETIMES == has[kind], kind


def test_the_camera_may_do_what_it_does_and_nothing_else(robot: Any, launch: Any) -> None:
    arguments = ["-r", "__ns:=/camera", "-p", "depth:=true", "-p", "frames:=1"]
    process = launch(["-m", "rose_ros.node.camera_node"], arguments)

    def complete() -> Graph | None:
        has = graph(robot.node, "camera", "/camera")
        whole = "/camera/camera/list_parameters" in has["reply"]
        return has if whole and "/camera/depth" in has["publish"] else None

    try:
        has = robot.wait_until(complete, "the camera's topics and services")
    finally:
        process.stop()
    for kind, names in allowed("/camera/camera").items():
        assert names - SOMETIMES == has[kind], kind


def _own(robot: Any, planner: Planner) -> Graph:
    return graph(robot.node, planner.get_name(), planner.get_namespace())


def test_roles_are_kept_apart(perception: Graph) -> None:
    planner, operator = allowed("/rose/planner"), allowed("/rose/operator")
    assert planner["request"] == {"/rose/clear_refinements", "/rose/find", "/rose/refine"}
    assert not planner["request"] & operator["request"]
    assert planner["request"] | operator["request"] == perception["reply"]
    own = allowed("/rose/perception")["publish"] - {"/rosout", "/parameter_events"}
    assert own >= {"/rose/segments", "/rose/refinements", "/rose/detections", "/rose/points"}
    assert not (planner["publish"] | operator["publish"]) & own
    assert allowed("/rose/perception")["request"] == set()
    assert operator["subscribe"] >= own
    camera = allowed("/camera/camera")
    assert not camera["request"]
    assert not camera["publish"] & (own | planner["publish"]) - {"/rosout", "/parameter_events"}
    assert planner["subscribe"] & camera["publish"] == {"/camera/image"}


def test_names_are_absolute_and_plain() -> None:
    root = ElementTree.parse(POLICY).getroot()
    names = [element.text or "" for tag in ("topic", "service") for element in root.iter(tag)]
    assert len(names) > 40
    for name in names:
        assert name.startswith("/")
        # Nodes of ros2 commands are named after their process.
        assert name == "/_ros2cli_*/get_type_description" or not set(name) & set("*?[]~ "), name


def test_comments_stand_before_the_policy() -> None:
    # ros2 security takes one between enclaves for an enclave without a path, and stops.
    before, _, policy = POLICY.read_text().partition("<policy ")
    assert "<!--" in before
    assert "<!--" not in policy


def test_the_policy_is_installed() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert "install(DIRECTORY config launch models rviz security" in cmake
