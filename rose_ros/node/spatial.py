"""Outputs beside the segments themselves: 3D with depth, and vision_msgs for other tools.

Each is computed only while somebody subscribes to it. None of them can make a frame fail: the
segments are published already.
"""

from __future__ import annotations

import traceback
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from rose_ros.errors import RoseError
from rose_ros.msg import Segment3DArray
from rose_ros.node import interop, outputs_3d
from rose_ros.node.depth import DepthInputs
from rose_ros.node.images import array_to_image
from rose_ros.node.pipeline import ProcessedFrame
from rose_ros.node.settings import CameraSettings, Settings

_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
#: Whoever subscribes late gets the last one.
_LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_OUTPUTS_3D = (
    ("segments_3d", Segment3DArray),
    ("markers", MarkerArray),
    ("points", PointCloud2),
)


class SpatialOutputs:
    """The publishers of a node for 3D and vision_msgs, and what they need.

    ``expect`` and ``publish`` run on the worker's thread, the rest in lifecycle transitions.
    """

    def __init__(self, node: LifecycleNode) -> None:
        """Publish on ``node``, later."""
        self._node = node
        self._depth = DepthInputs(node)
        #: by camera, then by name
        self._publishers: dict[str, dict[str, LifecyclePublisher]] = {}
        self._vision: interop.VisionMessages | None = None
        self._names: dict[str, interop.NameTable] = {}

    def create(self, settings: Settings) -> None:
        """Create the publishers of all cameras; those of 3D only where there is a depth topic."""
        messages = interop.find_messages() if settings.vision_msgs else None
        self._vision = interop.VisionMessages(messages) if messages is not None else None
        if settings.vision_msgs and messages is None:
            self._node.get_logger().info("vision_msgs is not installed: no detections, no labels")
        for camera in settings.cameras:
            for topic in filter(None, (camera.depth_topic, camera.camera_info_topic)):
                self._node.resolve_topic_name(topic)
            self._publishers[camera.name] = {
                name: self._node.create_lifecycle_publisher(
                    kind,
                    settings.output(camera.name, name),
                    _LATCHED_QOS if name == "label_info" else _QOS,
                )
                for name, kind in self._outputs(camera, messages)
            }

    def open(self, settings: Settings) -> None:
        """Subscribe to depth and calibration."""
        self._names = {camera.name: interop.NameTable() for camera in settings.cameras}
        self._depth.open(settings)

    def close(self) -> None:
        """Unsubscribe."""
        self._depth.close()

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publishers in self._publishers.values():
            for publisher in publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    def expect(self, camera: str, header: Header) -> None:
        """Look for the depth of an image that is about to be segmented."""
        self._depth.expect(camera, header)

    def publish(self, processed: ProcessedFrame, settings: Settings) -> None:
        """Publish what somebody subscribes to; nothing that goes wrong leaves this method."""
        try:
            self._publish_labels(processed, settings)
            self._publish_3d(processed, settings)
        except RoseError as error:
            self._depth.warn(processed.result.camera, error)
        except Exception as error:
            self._depth.warn(processed.result.camera, error)
            self._node.get_logger().debug(traceback.format_exc())

    def _outputs(self, camera: CameraSettings, messages: Any) -> list[tuple[str, type]]:
        outputs: list[tuple[str, type]] = list(_OUTPUTS_3D) if camera.depth_topic else []
        if messages is not None:
            outputs.append(("detections", messages.Detection2DArray))
            outputs.append(("label_image", Image))
            outputs.append(("label_info", messages.LabelInfo))
            if camera.depth_topic:
                outputs.append(("detections_3d", messages.Detection3DArray))
        return outputs

    def _watched(self, camera: str) -> dict[str, LifecyclePublisher]:
        """Return the publishers that somebody subscribes to, by name."""
        return {
            name: publisher
            for name, publisher in self._publishers.get(camera, {}).items()
            if publisher.get_subscription_count()
        }

    def _publish_labels(self, processed: ProcessedFrame, settings: Settings) -> None:
        """Publish what needs no depth."""
        frame, header = processed.result, processed.header
        watched = self._watched(frame.camera)
        if self._vision is None:
            return
        if "detections" in watched:
            watched["detections"].publish(self._vision.detections(frame, header))
        names = self._names[frame.camera]
        if "label_info" in watched:
            threshold = settings.options.perceiver.objectness_threshold
            info = self._vision.label_info(frame, names, header, threshold)
            watched["label_info"].publish(info)
        if "label_image" in watched:
            labels = interop.label_image(frame, names)
            watched["label_image"].publish(array_to_image(labels, header))

    def _publish_3d(self, processed: ProcessedFrame, settings: Settings) -> None:
        """Publish what needs depth."""
        frame, header = processed.result, processed.header
        watched = self._watched(frame.camera)
        wanted = {"segments_3d", "markers", "detections_3d"} & watched.keys()
        if not wanted and "points" not in watched:
            return
        depth = self._depth.take(frame.camera, (frame.height, frame.width), settings)
        if wanted:
            geometry = outputs_3d.locate_segments(frame, depth.metres, depth.intrinsics)
            if "segments_3d" in wanted:
                array = outputs_3d.segment_3d_array(
                    frame,
                    geometry,
                    header,
                    session_id=processed.session_id,
                    depth_stamp=depth.stamp,
                )
                watched["segments_3d"].publish(array)
            if "markers" in wanted:
                watched["markers"].publish(outputs_3d.marker_array(frame, geometry, header))
            if "detections_3d" in wanted and self._vision is not None:
                detections = self._vision.detections_3d(frame, geometry, header)
                watched["detections_3d"].publish(detections)
        if "points" in watched:
            cloud = outputs_3d.point_cloud(
                frame, processed.image, depth.metres, depth.intrinsics, header
            )
            watched["points"].publish(cloud)
