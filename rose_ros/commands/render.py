"""``rose_ros render``: tabletop scenes with their ground truth, to files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_ros.commands.output import count_from, make_folder, progress_bar, write_json
from rose_ros.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rose_ros.data.tabletop import Scene

#: Images side by side on a contact sheet.
_COLUMNS = 4
_MAX_DEPTH_MM = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--split", choices=("train", "test", "novel"), default="train", help="which scenes"
    )
    parser.add_argument("--scenes", type=count_from(1), default=1, help="number of scenes")
    parser.add_argument("--seed", type=count_from(0), default=0, help="seed of the first scene")
    parser.add_argument("--width", type=count_from(1), default=640, help="pixels")
    parser.add_argument("--height", type=count_from(1), default=480, help="pixels")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE", help="also write all images as one PNG"
    )
    parser.add_argument("--json", action="store_true", help="write what was made as JSON to stdout")


def run(args: argparse.Namespace) -> int:
    """Render the scenes; returns 0."""
    import numpy as np

    from rose_ros.data.tabletop import render

    make_folder(args.out)
    written, images = [], []
    with progress_bar("render", args.scenes) as progress:
        for index in range(args.scenes):
            seed = args.seed + index
            scene = render(seed, args.split, height=args.height, width=args.width)
            written.append(_write_scene(scene, args.out, args.split, seed))
            if args.contact_sheet is not None:
                images.append(scene.image)
            progress(index + 1, args.scenes)
    if args.contact_sheet is not None:
        blank = np.zeros_like(images[0])
        images += [blank] * (-len(images) % min(_COLUMNS, len(images)))
        columns = min(_COLUMNS, len(images))
        rows = [np.hstack(images[i : i + columns]) for i in range(0, len(images), columns)]
        args.contact_sheet.parent.mkdir(parents=True, exist_ok=True)
        _write_png(args.contact_sheet, np.vstack(rows)[..., ::-1])
    if args.json:
        write_json(written)
    else:
        print(f"{args.scenes} scenes in {args.out}")
    return 0


def _write_scene(scene: Scene, folder: Path, split: str, seed: int) -> dict[str, Any]:
    """Write one scene and return its description, which is also its JSON file."""
    import numpy as np

    stem = f"{split}-{seed:06d}"
    depth = np.where(np.isfinite(scene.depth), scene.depth, 0.0) * 1000.0
    planes: dict[str, NDArray[Any]] = {
        "image": scene.image[..., ::-1],
        "ids": scene.ids.astype(np.uint16),
        "parts": scene.parts,
        "depth": np.clip(np.rint(depth), 0, _MAX_DEPTH_MM).astype(np.uint16),
    }
    for name, pixels in planes.items():
        _write_png(folder / f"{stem}_{name}.png", pixels)
    result = {
        "split": split,
        "seed": seed,
        "height": scene.image.shape[0],
        "width": scene.image.shape[1],
        **{name: f"{stem}_{name}.png" for name in planes},
        "depth_unit": "mm",
        "part_names": list(scene.part_names),
        "intrinsics": scene.intrinsics.tolist(),
        "camera_to_world": scene.camera_to_world.tolist(),
        "objects": _describe_objects(scene),
    }
    write_json(result, folder / f"{stem}.json")
    return result


def _describe_objects(scene: Scene) -> list[dict[str, Any]]:
    """Return one JSON object per thing; hidden ones have area 0 and no box (x0, y0, x1, y1)."""
    from rose_ros.data.views import LabelledView

    extents = LabelledView.from_scene(scene).extents
    described = []
    for obj in scene.objects:
        extent = extents.get(obj.id)
        described.append(
            {
                "id": obj.id,
                "name": obj.name,
                "noun": obj.noun,
                "colour": obj.colour,
                "parts": list(obj.parts),
                "position": [float(value) for value in obj.position],
                "size": [float(value) for value in obj.size],
                "area": extent.area if extent else 0,
                "box": list(extent.box) if extent else None,
            }
        )
    return described


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write a PNG; BGR where it has colours. Raises ``DataError`` when it cannot."""
    import cv2
    import numpy as np

    encoded, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not encoded:
        raise DataError(f"cannot encode {pixels.dtype} {pixels.shape} as {path}")
    path.write_bytes(data.tobytes())
