"""``rose_ros segment``: photos in; an overlay and a JSON with COCO RLE per photo out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import (
    add_model_arguments,
    load_perceiver,
    make_folder,
    progress_bar,
    write_json,
)
from rose_ros.errors import ImageError, RoseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rose_ros.perception.perceiver import Perceiver
    from rose_ros.perception.segments import SegmentedFrame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG, ...")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--text", help='look for a description only, e.g. "the red mug"')
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="write the results to stdout as JSON")


def run(args: argparse.Namespace) -> int:
    """Segment every image; 1 when some could not be used, the others are still done."""
    if args.text is not None and not args.text.strip():
        raise ImageError("--text is empty; describe what to look for, or leave it out")
    make_folder(args.out)
    perceiver = load_perceiver(args)
    names = _output_names(args.images)
    results, failed = [], 0
    with progress_bar("segment", len(args.images)) as progress:
        for index, path in enumerate(args.images):
            try:
                result = _segment_one(perceiver, path, args.text, args.out / names[index])
            except RoseError as error:
                print(f"rose_ros segment: {error}", file=sys.stderr)
                failed += 1
            else:
                results.append(result)
                if not args.json:
                    _print_summary(result)
            progress(index + 1, len(args.images))
    if args.json:
        write_json(results)
    return 1 if failed else 0


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read any photo as RGB, uint8 (height, width, 3), upright as its EXIF says.

    Raises ``ImageError`` with the path and the reason.
    """
    import cv2
    import numpy as np

    if not path.is_file():
        raise ImageError(f"image {path} does not exist or is not a file")
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ImageError(f"image {path} cannot be read; give a PNG, JPEG, BMP, TIFF or WebP")
    return np.ascontiguousarray(pixels[..., ::-1])


def _output_names(paths: list[Path]) -> list[str]:
    """Return a distinct file name without ending for every image: its stem, numbered if taken."""
    names: list[str] = []
    for path in paths:
        name, number = path.stem, 1
        while name in names:
            number += 1
            name = f"{path.stem}-{number}"
        names.append(name)
    return names


def _segment_one(
    perceiver: Perceiver, path: Path, text: str | None, target: Path
) -> dict[str, Any]:
    """Segment one file and write ``target``.json and ``target``_overlay.png."""
    import cv2

    from rose_ros.perception.overlay import draw_overlay

    image = read_image(path)
    frame = perceiver.segment(image, text)
    overlay = target.with_name(f"{target.name}_overlay.png")
    if not cv2.imwrite(str(overlay), draw_overlay(image, frame)[..., ::-1]):
        raise ImageError(f"cannot write {overlay}; is the folder writable?")
    result = {
        "image": str(path),
        "overlay": str(overlay),
        "model": perceiver.runtime.model_name,
        "text": text,
        "height": frame.height,
        "width": frame.width,
        "seconds": frame.timing.preprocess + frame.timing.inference + frame.timing.postprocess,
        "segments": describe_segments(frame),
    }
    write_json(result, target.with_name(f"{target.name}.json"))
    return result


def describe_segments(frame: SegmentedFrame) -> list[dict[str, Any]]:
    """Return one JSON object per segment: names, scores, box (x, y, width, height), COCO RLE."""
    from rose_ros.perception.masks import decode_runs, to_coco_rle

    return [
        {
            "id": segment.id,
            "label": segment.label.text,
            "label_score": round(segment.label.score, 4),
            "score": round(segment.score, 4),
            "mask_quality": round(segment.mask_quality, 4),
            "area": segment.area,
            "bbox": [segment.mask.x, segment.mask.y, segment.mask.width, segment.mask.height],
            "anchor": [round(value, 1) for value in segment.anchor],
            "truncated": segment.truncated,
            "segmentation": to_coco_rle(decode_runs(segment.mask, frame.height, frame.width)),
        }
        for segment in frame.segments
    ]


def _print_summary(result: dict[str, Any]) -> None:
    """Print one line per image and one per segment."""
    segments = result["segments"]
    print(f"{result['image']}: {len(segments)} segments in {result['seconds']:.2f} s")
    for segment in segments:
        print(
            f"  {segment['id']:3d}  {segment['label'] or '(no name)':28s} "
            f"score {segment['score']:.2f}  name {segment['label_score']:.2f}  "
            f"{segment['area']} px"
        )
