"""Write what was seen in a recording as COCO JSON, one annotation at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rose_ros.perception.masks import decode_runs, to_coco_rle
from rose_ros.recording.messages import mask_of, stamp_of

#: (place of the message on its topic from 0, the message)
NumberedArray = tuple[int, Any]


def write_coco(arrays: Callable[[], Iterable[NumberedArray]], path: Path) -> None:
    """Write a COCO file with one image for each array; ``arrays`` is gone through twice.

    An image's id is the place of its message on the topic from 1, its file_name the same with six
    digits. The names that the model made up are the categories, in order of appearance.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    categories: dict[str, int] = {}
    with partial.open("w", encoding="utf-8") as file:
        file.write('{"images": ')
        _write_list(file, (_image(index, array) for index, array in arrays()))
        file.write(',\n"annotations": ')
        _write_list(file, _annotations(arrays(), categories))
        file.write(',\n"categories": ')
        _write_list(file, ({"id": number, "name": name} for name, number in categories.items()))
        file.write("}\n")
    partial.replace(path)


def _image(index: int, array: Any) -> dict[str, Any]:
    return {
        "id": index + 1,
        "file_name": f"{index + 1:06d}.png",
        "width": array.width,
        "height": array.height,
        "stamp_ns": stamp_of(array).ns,
        "frame_id": array.header.frame_id,
    }


def _annotations(
    arrays: Iterable[NumberedArray], categories: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Describe every segment and number the names while doing so."""
    number = 0
    for index, array in arrays:
        for segment in array.segments:
            number += 1
            name = segment.label.text
            mask = mask_of(segment)
            yield {
                "id": number,
                "image_id": index + 1,
                "category_id": categories.setdefault(name, len(categories) + 1),
                "segmentation": to_coco_rle(decode_runs(mask, array.height, array.width)),
                "area": segment.area,
                "bbox": [mask.x, mask.y, mask.width, mask.height],
                "iscrowd": 0,
                "score": round(segment.score, 6),
                "track_id": segment.id,
                "session_id": array.session_id,
            }


def _write_list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    """Write a JSON list, one item a line, without holding it."""
    separator = "["
    for item in items:
        file.write(f"{separator}\n{json.dumps(item, allow_nan=False)}")
        separator = ","
    file.write("[]" if separator == "[" else "\n]")
