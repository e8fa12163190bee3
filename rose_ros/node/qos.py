"""Which reliability to ask a camera's publishers for, and what does not fit between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

_ASKED = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What a camera's topic is connected to.

    publishers: how many there are. reliability: what is asked of them. problems: one sentence for
    each publisher that is not heard, with its node and the policy.
    """

    publishers: int = 0
    reliability: str = ""
    problems: tuple[str, ...] = ()


def input_qos(reliability: ReliabilityPolicy) -> QoSProfile:
    """Return the QoS of a camera's subscription: only the newest frame is of interest."""
    return QoSProfile(depth=1, reliability=reliability)


def choose_reliability(
    asked: str, publishers: Sequence[TopicEndpointInfo], present: ReliabilityPolicy
) -> ReliabilityPolicy:
    """Return the reliability to use: that which was asked for or, for "auto", the best that fits.

    Best effort matches every publisher but loses large images on the way, so "auto" is reliable
    while all publishers offer it. While there are none, what is in use stays.
    """
    if asked in _ASKED:
        return _ASKED[asked]
    if not publishers:
        return present
    offered = {publisher.qos_profile.reliability for publisher in publishers}
    if offered == {ReliabilityPolicy.RELIABLE}:
        return ReliabilityPolicy.RELIABLE
    return ReliabilityPolicy.BEST_EFFORT


def describe(
    topic: str, type_name: str, publishers: Sequence[TopicEndpointInfo], asked: ReliabilityPolicy
) -> Connection:
    """Say who publishes on ``topic``, and who of them is not heard and why.

    ``type_name`` is what is subscribed, such as "sensor_msgs/msg/Image".
    """
    problems = []
    for publisher in publishers:
        if publisher.topic_type != type_name:
            problems.append(
                f"{node_name(publisher)} publishes {publisher.topic_type} on {topic}, not "
                f"{type_name}"
            )
            continue
        offered = publisher.qos_profile.reliability
        if asked == ReliabilityPolicy.RELIABLE and offered == ReliabilityPolicy.BEST_EFFORT:
            problems.append(
                f"{node_name(publisher)} is not heard on {topic}: policy RELIABILITY, it offers "
                f"{offered.name}, {asked.name} is asked for"
            )
    return Connection(len(publishers), asked.name.lower(), tuple(problems))


def join(connections: Sequence[Connection]) -> Connection:
    """Put what is known of a camera's topics together."""
    heard = [connection for connection in connections if connection.publishers] or connections
    reliabilities = dict.fromkeys(connection.reliability for connection in heard)
    return Connection(
        sum(connection.publishers for connection in connections),
        ", ".join(reliabilities),
        tuple(problem for connection in connections for problem in connection.problems),
    )


def node_name(endpoint: TopicEndpointInfo) -> str:
    """Return the full name of the node that an endpoint belongs to."""
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
