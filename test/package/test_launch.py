"""The launch file: its arguments, and what it starts for them.

Where the launch system is not installed, small stand-ins record what the file asks for.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "launch" / "perception.launch.py"
ARGUMENTS = {
    "namespace",
    "image",
    "cameras",
    "depth",
    "camera_info",
    "params_file",
    "model",
    "runtime",
    "device",
    "autostart",
    "respawn",
    "camera",
    "rviz",
}


class Recorded:
    """Anything of the launch system: keeps what it was made with."""

    def __init__(self, *args: Any, **given: Any) -> None:
        self.args = args
        self.given = given
        self.name = args[0] if args else given.get("name")

    def perform(self, context: dict[str, str]) -> str:
        """Look the argument up."""
        return context[self.name]


def stand_in(name: str, *members: str) -> ModuleType:
    """Make a module that has ``members``."""
    module = ModuleType(name)
    for member in members:
        setattr(module, member, type(member, (Recorded,), {}))
    return module


@pytest.fixture
def launch_file(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the launch file defines, run on stand-ins."""
    for module in (
        stand_in("launch", "LaunchContext", "LaunchDescription"),
        stand_in("launch.actions", "DeclareLaunchArgument", "OpaqueFunction"),
        stand_in("launch.substitutions", "LaunchConfiguration", "PathJoinSubstitution"),
        stand_in("launch_ros"),
        stand_in("launch_ros.actions", "Node"),
        stand_in("launch_ros.substitutions", "FindPackageShare"),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    namespace: dict[str, Any] = {"__name__": "perception_launch"}
    exec(compile(FILE.read_text(), str(FILE), "exec"), namespace)
    return namespace


def start(launch_file: dict[str, Any], **given: str) -> list[dict[str, Any]]:
    """List the nodes, each as the arguments of its action, for launch arguments."""
    context = {
        argument.name: argument.given["default_value"] for argument in launch_file["ARGUMENTS"]
    }
    nodes: list[Recorded] = launch_file["start_nodes"]({**context, "params_file": "p", **given})
    return [node.given for node in nodes]


def test_the_description_declares_every_argument(launch_file: dict[str, Any]) -> None:
    entities = launch_file["generate_launch_description"]().args[0]
    declared = [entity for entity in entities if "default_value" in entity.given]
    assert {argument.name for argument in declared} == ARGUMENTS
    assert all(argument.given["description"].endswith((".", '."')) for argument in declared)


def test_by_default_only_perception_starts(launch_file: dict[str, Any]) -> None:
    (node,) = start(launch_file)
    assert (node["namespace"], node["name"]) == ("rose", "perception")
    assert node["parameters"] == ["p"]
    assert node["remappings"] == [
        ("image", "/camera/image"),
        ("image/compressed", "/camera/image/compressed"),
    ]


def test_arguments_become_parameters(launch_file: dict[str, Any]) -> None:
    (node,) = start(
        launch_file,
        namespace="r2/rose",
        model="m",
        runtime="torch",
        device="cpu",
        autostart="false",
    )
    assert node["namespace"] == "r2/rose"
    assert node["parameters"][1] == {
        "model": "m",
        "runtime": "torch",
        "device": "cpu",
        "autostart": False,
    }


def test_nodes_have_the_enclaves_of_the_policy(launch_file: dict[str, Any]) -> None:
    policy = ElementTree.parse(ROOT / "security" / "policy.xml").getroot()
    enclaves = {element.get("path") for element in policy.iter("enclave")}
    for node in start(launch_file, camera="tabletop"):
        option, path = node["ros_arguments"]
        assert option == "--enclave"
        assert path in enclaves
        assert path == f"/{node['namespace']}/{node['name']}"
    for namespace, path in (("/r2/rose/", "/r2/rose/perception"), ("/", "/perception")):
        (node,) = start(launch_file, namespace=namespace)
        assert node["ros_arguments"] == ["--enclave", path]


def test_a_node_that_ended_starts_again_when_asked_for(launch_file: dict[str, Any]) -> None:
    (node,) = start(launch_file)
    assert node["respawn"] is False
    (node,) = start(launch_file, respawn="true")
    assert node["respawn"] is True
    assert node["respawn_delay"] > 0


def test_several_topics_become_cameras(launch_file: dict[str, Any]) -> None:
    (node,) = start(launch_file, image="/a/image, /b/image")
    assert node["parameters"][1]["image_topics"] == ["/a/image", "/b/image"]
    assert node["parameters"][1]["cameras"] == ["camera1", "camera2"]
    assert node["remappings"] == []
    (node,) = start(launch_file, image="/a/image,/b/image", cameras="left, right")
    assert node["parameters"][1]["cameras"] == ["left", "right"]


@pytest.mark.parametrize(
    ("image", "cameras", "reason"),
    [("/a,/b", "left", "1 cameras .* 2 image topics"), (" , ", "", "image is empty")],
)
def test_topics_and_cameras_that_do_not_fit_are_refused(
    launch_file: dict[str, Any], image: str, cameras: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        start(launch_file, image=image, cameras=cameras)


def test_the_simulated_camera_and_rviz_start_when_asked_for(launch_file: dict[str, Any]) -> None:
    _, camera, rviz = start(launch_file, camera="tabletop", rviz="true", namespace="/eyes")
    assert (camera["namespace"], camera["name"]) == ("camera", "camera")
    assert camera["parameters"] == [{"depth": False}]
    assert (rviz["package"], rviz["executable"]) == ("rviz2", "rviz2")
    assert ("/rose/overlay", "/eyes/overlay") in rviz["remappings"]
    assert ("/rose/markers", "/eyes/markers") in rviz["remappings"]


def test_depth_is_that_of_each_camera(launch_file: dict[str, Any]) -> None:
    (node,) = start(launch_file, depth="/d/image", camera_info="/d/info")
    assert node["parameters"][1] == {
        "cameras": ["camera"],
        "camera.camera.depth_topic": "/d/image",
        "camera.camera.camera_info_topic": "/d/info",
    }
    (node,) = start(launch_file, image="/a,/b", cameras="left,right", depth="/c,/d")
    assert node["parameters"][1]["camera.left.depth_topic"] == "/c"
    assert node["parameters"][1]["camera.right.depth_topic"] == "/d"


def test_the_simulated_camera_has_depth_on_request(launch_file: dict[str, Any]) -> None:
    node, camera = start(launch_file, camera="tabletop", depth="true")
    assert camera["parameters"] == [{"depth": True}]
    assert node["parameters"][1]["camera.camera.depth_topic"] == "/camera/depth"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"depth": "true"}, "depth:=true is for camera:=tabletop"),
        ({"image": "/a,/b", "depth": "/c"}, "1 topics in depth"),
        ({"depth": "/c", "camera_info": "/d,/e"}, "2 topics in camera_info"),
    ],
)
def test_depth_that_does_not_fit_is_refused(
    launch_file: dict[str, Any], given: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        start(launch_file, **given)


def test_rviz_shows_the_first_of_several_cameras(launch_file: dict[str, Any]) -> None:
    _, rviz = start(launch_file, image="/a,/b", cameras="left,right", rviz="true")
    assert ("/rose/overlay", "/rose/left/overlay") in rviz["remappings"]
    assert ("/camera/image", "/a") in rviz["remappings"]
    _, rviz = start(launch_file, image="/a,/b", namespace="/", rviz="true")
    assert ("/rose/overlay", "/camera1/overlay") in rviz["remappings"]


def test_the_programs_are_installed(launch_file: dict[str, Any]) -> None:
    nodes = start(launch_file, camera="tabletop")
    installed = re.search(r"foreach\(executable ([\w ]+)\)", (ROOT / "CMakeLists.txt").read_text())
    assert installed is not None
    assert {node["executable"] for node in nodes} <= set(installed[1].split())
    assert {node["package"] for node in nodes} == {"rose_ros"}


def test_the_parameters_given_exist(launch_file: dict[str, Any]) -> None:
    (node,) = start(launch_file, image="/a,/b", model="m", runtime="r", device="d")
    table = ast.parse((ROOT / "rose_ros" / "node" / "parameters.py").read_text())
    texts = {node.value for node in ast.walk(table) if isinstance(node, ast.Constant)}
    assert set(node["parameters"][1]) <= texts
    (node,) = start(launch_file, depth="/a", camera_info="/b")
    assert {name.rpartition(".")[2] for name in node["parameters"][1]} <= texts


def test_rviz_shows_the_topics_that_the_launch_file_maps() -> None:
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((ROOT / "rviz" / "perception.rviz").read_text())
    displays = config["Visualization Manager"]["Displays"]
    assert {display["Topic"]["Value"] for display in displays} == {
        "/rose/overlay",
        "/camera/image",
        "/rose/markers",
        "/rose/points",
    }


def test_the_real_launch_system_accepts_the_file() -> None:
    pytest.importorskip("launch_ros", reason="only on a ROS installation")
    import launch
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(FILE))
    assert isinstance(description, launch.LaunchDescription)
    assert {argument.name for argument in description.get_launch_arguments()} == ARGUMENTS
