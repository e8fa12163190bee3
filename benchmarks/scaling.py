"""What a frame costs with more objects on the table."""

from __future__ import annotations

from benchmarks.images import SIZE, SPLIT, Image
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target, median
from benchmarks.watch import Stopwatch
from rose_ros.data.tabletop import SURFACES, World, build_world
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime import create_runtime

#: Worlds of the test split by how many objects stand on their table.
WORLDS = {1: (39, 62, 87), 4: (5, 14, 24), 8: (0, 9, 11), 12: (88, 115, 126)}


def objects_of(world: World) -> int:
    """Return how many things stand on a world's table."""
    return sum(thing.noun not in SURFACES for thing in world.objects)


def run(bench: Bench) -> Findings:
    """Time whole frames that name everything, the dearest case, in turn."""
    images = _render(bench)
    runtime = create_runtime(bench.model, runtime="onnx", device="cpu")
    perceiver = Perceiver(runtime)
    perceiver.segment(images[max(images)][0])
    watch, rounds = Stopwatch(), bench.pick(6, 2)
    segments: dict[int, list[int]] = {count: [] for count in images}
    seconds: dict[int, list[float]] = {count: [] for count in images}
    for turn in range(rounds):
        for count, views in images.items():
            for image in views:
                with watch.frame():
                    frame = perceiver.segment(image)
                seconds[count].append(watch.frames[-1].seconds)
                segments[count].append(len(frame.segments))
        bench.report("frames with 1 to 12 objects", turn + 1, rounds)
    runtime.close()
    return Findings(
        rows(
            {count: 1e3 * median(times) for count, times in seconds.items()},
            {count: median([float(n) for n in found]) for count, found in segments.items()},
        )
    )


def rows(times: dict[int, float], segments: dict[int, float]) -> list[Row]:
    """Return a row per number of objects, and how far from a straight line the most costly is.

    times: milliseconds by objects. segments: found, by objects.
    """
    found = [
        Row(
            "scaling",
            f"{count} object{'s' if count > 1 else ''} on the table",
            times[count],
            "ms",
            "lower",
            detail=f"{segments[count]:g} segments found, table and wall included",
        )
        for count in times
    ]
    few, many = min(times), max(times)
    per_object = (times[many] - times[few]) / (many - few)
    worst = max((times[n] / times[few] - 1) / (n / few - 1) for n in times if n > few)
    found.append(
        Row(
            "scaling",
            "growth per object against the cost of one",
            100 * worst,
            "%",
            "lower",
            Target(at_most=100.0),
            f"100 % is linear from the first object on; {per_object:.2f} ms per object",
        )
    )
    return found


def _render(bench: Bench) -> dict[int, list[Image]]:
    """Render the worlds; raises ``BenchmarkError`` when they are not what they were."""
    per_count = bench.pick(3, 1)
    images: dict[int, list[Image]] = {}
    for count, seeds in WORLDS.items():
        images[count] = []
        for seed in seeds[:per_count]:
            world = build_world(seed, SPLIT)
            if objects_of(world) != count:
                raise BenchmarkError(
                    f"world {seed} has {objects_of(world)} objects, not {count}; the tabletop has "
                    "changed: choose other seeds for benchmarks.scaling.WORLDS"
                )
            images[count].append(world.render(height=SIZE[0], width=SIZE[1]).image)
        bench.report("rendering", len(images), len(WORLDS))
    return images
