"""``rose_ros bag``: a recording in; a recording with what was seen in its images out. No ROS."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rose_ros.commands.output import add_model_arguments, progress_bar, write_json
from rose_ros.errors import RecordingError

if TYPE_CHECKING:
    from rose_ros.recording.segmenting import Job, Summary
    from rose_ros.runtime.base import Runtime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recording", type=Path, metavar="IN", help="rosbag2 folder, .db3 or .mcap file"
    )
    parser.add_argument(
        "--topic", required=True, help="image topic, raw or compressed (jpeg, png), to segment"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help="recording to make, stored as IN is; an interrupted one is taken up again",
    )
    parser.add_argument("--coco", type=Path, metavar="FILE", help="write COCO JSON as well")
    parser.add_argument(
        "--segments-topic", default="/rose/segments", metavar="TOPIC", help="topic of the result"
    )
    parser.add_argument("--camera", default="camera", help="name of the camera in the result")
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="write the summary as JSON to stdout")


def run(args: argparse.Namespace) -> int:
    """Segment a recording; 1 when it cannot be done. Unusable messages are reported."""
    from rose_ros.recording.segmenting import Job, segment_recording

    job = Job(
        source=args.recording,
        topic=args.topic,
        out=args.out,
        segments_topic=args.segments_topic,
        camera=args.camera,
        model=args.model,
        coco=args.coco,
    )
    if not args.out.name:
        raise RecordingError(f"--out {args.out} has no name; give the folder to make")

    def create_runtime() -> Runtime:
        from rose_ros.runtime import create_runtime

        return create_runtime(args.model, runtime=args.runtime, device=args.device)

    try:
        with progress_bar("segment", 0) as progress:
            summary = segment_recording(job, create_runtime, progress)
    except KeyboardInterrupt:
        print(
            f"rose_ros bag: what is done is kept in {job.unfinished}; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        raise
    if args.json:
        write_json(asdict(summary))
    else:
        _print_summary(job, summary)
    return 0


def _print_summary(job: Job, summary: Summary) -> None:
    again = f", {summary.resumed} of them before" if summary.resumed else ""
    print(
        f"{job.out}: {summary.segments} segments in {summary.arrays} arrays on "
        f"{job.segments_topic}, from {summary.messages} messages on {job.topic}{again}"
    )
    if job.coco is not None:
        print(f"{job.coco}: the same as COCO JSON")
    if summary.unusable:
        print(
            f"rose_ros bag: {summary.unusable} messages could not be used; {summary.reason}",
            file=sys.stderr,
        )
