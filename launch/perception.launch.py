"""Start the perception node and, when asked for, the simulated camera and RViz."""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("rose_ros")
#: Nodes finish what is in hand before they stop, and a frame may take seconds on a CPU.
STOP_SECONDS = "15"

ARGUMENTS = (
    DeclareLaunchArgument(
        "namespace", default_value="rose", description="Namespace of the perception node."
    ),
    DeclareLaunchArgument(
        "image",
        default_value="/camera/image",
        description="Image topic; several are separated by commas. Compressed images are taken"
        " from <topic>/compressed.",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of the cameras, separated by commas, one for each image topic."
        ' Empty: as in params_file for one topic, "camera1", "camera2" and so on for several.',
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="",
        description="Topic of the depth that is aligned to each image, separated by commas; then"
        " there is 3D. true: with camera:=tabletop, the simulated depth. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="Calibration of each depth image, separated by commas. Empty: the topic"
        " camera_info beside the depth.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "perception.yaml"]),
        description="Parameters of the perception node; the arguments below go before it.",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="Name of a shipped model, or a checkpoint folder. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "runtime",
        default_value="",
        description="What runs the network, or auto. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="auto, cpu, or a CUDA device such as cuda:0. Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description="false: stay unconfigured until a lifecycle manager says otherwise."
        " Empty: as in params_file.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="true: start the perception node again two seconds after it ended by itself.",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="none",
        choices=["none", "tabletop"],
        description="tabletop: start the simulated camera, which publishes /camera/image.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="Start RViz with the image and what is seen in it, also in 3D.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[Node]:
    """Turn the arguments, as text by now, into nodes."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS
    }
    tabletop = given["camera"] == "tabletop"
    wants_depth = given["depth"] == "true"
    if wants_depth and not tabletop:
        raise ValueError("depth:=true is for camera:=tabletop; give the topic of the aligned depth")
    if wants_depth:
        given["depth"] = "/camera/depth"
    nodes = [perception(given)]
    if tabletop:
        nodes.append(
            Node(
                package="rose_ros",
                executable="camera_node",
                namespace="camera",
                name="camera",
                parameters=[{"depth": wants_depth}],
                ros_arguments=enclave("camera", "camera"),
                sigterm_timeout=STOP_SECONDS,
            )
        )
    if given["rviz"] == "true":
        nodes.append(rviz(given))
    return nodes


def perception(given: dict[str, str]) -> Node:
    """Start the perception node; raises ValueError when topics and cameras do not fit."""
    parameters: dict[str, Any] = {
        name: given[name] for name in ("model", "runtime", "device") if given[name]
    }
    if given["autostart"]:
        parameters["autostart"] = given["autostart"] == "true"

    topics = split(given["image"])
    cameras = split(given["cameras"])
    if not topics:
        raise ValueError("the argument image is empty; give the topic of a camera")
    if not cameras and len(topics) > 1:
        cameras = [f"camera{number + 1}" for number in range(len(topics))]
    if not cameras and given["depth"]:
        cameras = ["camera"]
    if cameras:
        if len(cameras) != len(topics):
            raise ValueError(
                f"{len(cameras)} cameras ({', '.join(cameras)}) for {len(topics)} image topics"
                f" ({', '.join(topics)}); give one name for each topic"
            )
        parameters["cameras"] = cameras
    parameters.update(depth_parameters(given, cameras))
    remappings = []
    if len(topics) == 1:
        remappings = [("image", topics[0]), ("image/compressed", f"{topics[0]}/compressed")]
    else:
        parameters["image_topics"] = topics

    return Node(
        package="rose_ros",
        executable="perception_node",
        namespace=given["namespace"],
        name="perception",
        parameters=[given["params_file"], *([parameters] if parameters else [])],
        remappings=remappings,
        ros_arguments=enclave(given["namespace"], "perception"),
        respawn=given["respawn"] == "true",
        respawn_delay=2.0,
        sigterm_timeout=STOP_SECONDS,
        output="screen",
        emulate_tty=True,
    )


def enclave(namespace: str, name: str) -> list[str]:
    """Name a node's enclave for SROS2, as in security/policy.xml; unused while security is off."""
    return ["--enclave", "/" + "/".join([*split(namespace, "/"), name])]


def depth_parameters(given: dict[str, str], cameras: list[str]) -> dict[str, str]:
    """Name the depth of each camera; raises ValueError when topics and cameras do not fit."""
    parameters = {}
    for argument, key in (("depth", "depth_topic"), ("camera_info", "camera_info_topic")):
        topics = split(given[argument])
        if topics and len(topics) != len(cameras):
            raise ValueError(
                f"{len(topics)} topics in {argument} ({', '.join(topics)}) for {len(cameras)}"
                f" cameras ({', '.join(cameras)}); give one for each camera"
            )
        parameters.update({f"camera.{c}.{key}": t for c, t in zip(cameras, topics, strict=False)})
    return parameters


def rviz(given: dict[str, str]) -> Node:
    """Start RViz; its file names the default topics, which are mapped to those in use."""
    topics = split(given["image"])
    outputs = f"/{given['namespace'].strip('/')}/".replace("//", "/")
    if len(topics) > 1:  # the first camera's
        outputs += f"{(split(given['cameras']) or ['camera1'])[0]}/"
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", PathJoinSubstitution([SHARE, "rviz", "perception.rviz"])],
        remappings=[
            *((f"/rose/{name}", f"{outputs}{name}") for name in ("overlay", "markers", "points")),
            ("/camera/image", topics[0]),
        ],
    )


def split(text: str, separator: str = ",") -> list[str]:
    """Split what is separated; blanks around the parts and empty parts do not count."""
    return [part.strip() for part in text.split(separator) if part.strip()]
