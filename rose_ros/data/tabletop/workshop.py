"""Meshes of tools, containers and plain solids; lengths in metres, z up."""

from __future__ import annotations

import numpy as np
import trimesh

from rose_ros.data.tabletop.meshes import (
    Piece,
    Slot,
    arc,
    box,
    moved,
    plate_with_hole,
    revolve,
    rod,
    tube,
)

Rng = np.random.Generator


def bucket(rng: Rng) -> list[Piece]:
    """Build an open tapered bucket with a wire bow."""
    radius, height = rng.uniform(0.068, 0.08), rng.uniform(0.115, 0.14)
    foot = radius * rng.uniform(0.66, 0.76)
    outer = [(0, 0), (foot, 0), (radius, height), (radius + 0.005, height)]
    outer += [(radius + 0.005, height + 0.006), (radius - 0.004, height + 0.006)]
    body = revolve([*outer, (foot - 0.004, 0.006), (0, 0.006)])
    bow = arc((0, 0, 0), (radius + 0.004, radius * 1.0), 0.0, np.pi, 19)
    tilt = rng.choice([0.0, 0.5, 1.0])
    handle = tube(bow, 0.0042, Slot.ACCENT, "handle", sections=8)
    return [body, moved(handle, (0, 0, height - 0.004), tilt, (1, 0, 0))]


def barrel(rng: Rng) -> list[Piece]:
    """Build a bulging barrel with hoops."""
    end, height = rng.uniform(0.052, 0.06), rng.uniform(0.145, 0.175)
    belly = end * rng.uniform(1.22, 1.32)
    levels = np.linspace(0, 1, 13)
    radii = end + (belly - end) * (1 - (2 * levels - 1) ** 2)
    outer = list(zip(radii, levels * height, strict=True))
    top = [(end - 0.006, height), (end - 0.006, height - 0.007), (0, height - 0.007)]
    pieces = [revolve([(0, 0), *outer, *top])]
    for level in (0.07, 0.27, 0.73, 0.93):
        low, high = level - 0.035, level + 0.035
        hoop = [
            (end + (belly - end) * (1 - (2 * s - 1) ** 2) + 0.0018, s * height)
            for s in (low, level, high)
        ]
        pieces.append(revolve(hoop, Slot.ACCENT))
    return pieces


def box_with_lid(rng: Rng) -> list[Piece]:
    """Build a closed oblong box whose lid stands a little over the sides."""
    length, width = rng.uniform(0.125, 0.165), rng.uniform(0.085, 0.105)
    height = rng.uniform(0.05, 0.07)
    lid = height * 0.38
    return [
        box((length, width, height), (0, 0, height / 2)),
        box((length + 0.01, width + 0.01, lid), (0, 0, height + lid / 2 - 0.004), part="lid"),
    ]


def cube(rng: Rng) -> list[Piece]:
    """Build a plain cube."""
    side = rng.uniform(0.072, 0.09)
    return [box((side, side, side), (0, 0, side / 2))]


#: Pips of a die's face in a grid of -1, 0, 1.
PIPS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    5: ((-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1)),
    6: ((-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)),
}


def die(rng: Rng) -> list[Piece]:
    """Build a large die; opposite faces add up to seven, which one is up is random."""
    side = rng.uniform(0.064, 0.076)
    half = side / 2
    pieces = [box((side, side, side))]
    frames = [  # outward axis and the two axes of the face
        (1, np.eye(3)[[2, 0, 1]]),
        (6, np.eye(3)[[2, 1, 0]] * [[-1], [1], [1]]),
        (2, np.eye(3)[[0, 1, 2]]),
        (5, np.eye(3)[[0, 2, 1]] * [[-1], [1], [1]]),
        (3, np.eye(3)[[1, 2, 0]]),
        (4, np.eye(3)[[1, 0, 2]] * [[-1], [1], [1]]),
    ]
    radius = side * (0.115)
    for count, (out, across, up) in frames:
        for x, y in PIPS[count]:
            centre = out * half + across * (x * side * 0.27) + up * (y * side * 0.27)
            pip = rod(centre - out * 1e-3, centre + out * 6e-4, radius, Slot.ACCENT, sections=12)
            pieces.append(pip)
    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    order = np.argmax(np.abs(turn), axis=1)
    if len(set(order.tolist())) < 3:
        order = np.array([0, 1, 2])
    upright = np.eye(4)
    upright[:3, :3] = np.eye(3)[order] * np.sign(turn[np.arange(3), order])[:, None]
    for piece in pieces:
        piece.mesh.apply_transform(upright)
    return pieces


def ball(rng: Rng) -> list[Piece]:
    """Build a ball."""
    radius = rng.uniform(0.038, 0.052)
    angles = np.linspace(-np.pi / 2, np.pi / 2, 19)
    profile = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    profile[[0, -1], 0] = 0.0
    return [revolve(profile)]


def cone(rng: Rng) -> list[Piece]:
    """Build a cone, with a square foot now and then."""
    radius, height = rng.uniform(0.044, 0.056), rng.uniform(0.115, 0.145)
    pieces = [revolve([(0, 0), (radius, 0), (0.003, height), (0, height + 0.001)])]
    if rng.random() < 0.5:
        side = radius * 2.3
        pieces.append(box((side, side, 0.008), (0, 0, -0.004)))
    return pieces


def pyramid(rng: Rng) -> list[Piece]:
    """Build a four-sided pyramid."""
    half, height = rng.uniform(0.048, 0.06), rng.uniform(0.075, 0.095)
    corners = [(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)]
    faces = [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4), (0, 2, 1), (0, 3, 2)]
    return [Piece(trimesh.Trimesh([*corners, (0, 0, height)], faces, process=False))]


def ring(rng: Rng) -> list[Piece]:
    """Build a thick ring lying flat."""
    radius, thick = rng.uniform(0.048, 0.058), rng.uniform(0.012, 0.016)
    mesh = trimesh.creation.torus(radius, thick, major_sections=40, minor_sections=14)
    return [Piece(mesh)]


def hammer(rng: Rng) -> list[Piece]:
    """Build a claw hammer lying on its side, handle along x, head across y."""
    length, radius = rng.uniform(0.17, 0.2), rng.uniform(0.0105, 0.0125)
    grip = [(0, 0, 0), (0.004, 0, 0), (length * 0.4, 0, 0), (length, 0, 0)]
    width = rng.uniform(0.016, 0.019)
    face = rod((length, -0.045, 0), (length, -0.03, 0), width * 1.05, Slot.STEEL, "head", 20)
    neck = rod((length, -0.032, 0), (length, 0.01, 0), width * 0.72, Slot.STEEL, "head", 20)
    cheek = box((width * 1.9, width * 1.9, width * 1.7), (length, 0, 0), Slot.STEEL, "head")
    claw = tube(
        arc((length - 0.05, 0, 0), (0.05, 0.06), 0.1, 1.0, 7),
        np.linspace(width * 0.75, 0.004, 7),
        Slot.STEEL,
        "head",
        flatten=1.0,
    )
    return [
        tube(grip, [radius * 0.9, radius * 1.15, radius, radius * 0.75], part="handle"),
        face,
        neck,
        cheek,
        moved(claw, (0, 0, 0), -np.pi / 2, (1, 0, 0)),
    ]


def screwdriver(rng: Rng) -> list[Piece]:
    """Build a screwdriver lying along x, tip to +x."""
    grip, shaft = rng.uniform(0.078, 0.092), rng.uniform(0.085, 0.11)
    radius = rng.uniform(0.016, 0.0185)
    x = [0, 0.005, grip * 0.25, grip * 0.72, grip * 0.86, grip]
    r = np.array([0.55, 0.9, 1.0, 0.95, 0.6, 0.62]) * radius
    handle = tube([(v, 0, 0) for v in x], r, part="handle", sections=8)
    blade = [(grip - 0.004, 0, 0), (grip + shaft * 0.85, 0, 0), (grip + shaft, 0, 0)]
    tip = tube([(grip + shaft * 0.8, 0, 0), (grip + shaft, 0, 0)], [0.0045, 0.0022], Slot.STEEL)
    flat = Piece(tip.mesh, Slot.STEEL, "shaft")
    flat.mesh.vertices[:, 1] *= 2.0
    return [handle, tube(blade, [0.0055, 0.0055, 0.0024], Slot.STEEL, "shaft"), flat]


def wrench(rng: Rng) -> list[Piece]:
    """Build a flat combination wrench: open jaw at one end, ring at the other."""
    length, thick = rng.uniform(0.15, 0.185), 0.011
    head, eye = rng.uniform(0.026, 0.03), rng.uniform(0.018, 0.021)
    angles = np.linspace(0.62, 2 * np.pi - 0.62, 20)
    outer = np.stack([head * np.cos(angles), head * np.sin(angles)], axis=1)
    gap = head * 0.5
    inner = np.stack([gap * np.cos(angles), gap * np.sin(angles)], axis=1)
    jaw = plate_with_hole(outer, inner, thick, part="jaw", closed=False)
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    end = plate_with_hole(circle * eye, circle * eye * 0.55, thick)
    bar = box((length - eye - head * 0.6, 0.018, thick * 0.8), (0, 0, 0))
    left, right = -length / 2 + head * 0.2, length / 2
    return [
        moved(jaw, (left, 0, 0), np.pi + 0.26),
        moved(end, (right, 0, 0)),
        moved(bar, ((left + right - eye + head) / 2 - 0.002, 0, 0)),
    ]


def gear(rng: Rng) -> list[Piece]:
    """Build a toothed wheel with a hole, lying flat."""
    radius, teeth = rng.uniform(0.05, 0.062), int(rng.integers(9, 13))
    thick = rng.uniform(0.018, 0.026)
    steps = np.arange(teeth * 4)
    angles = 2 * np.pi * (steps + 0.5 * (steps % 4 == 2) - 0.5 * (steps % 4 == 1)) / len(steps)
    radii = np.where((steps % 4 == 1) | (steps % 4 == 2), radius, radius * 0.76)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [plate_with_hole(circle * radii[:, None], circle * radius * 0.3, thick)]


def dumbbell(rng: Rng) -> list[Piece]:
    """Build a dumbbell lying along x."""
    length, radius = rng.uniform(0.14, 0.17), rng.uniform(0.03, 0.037)
    weight = length * 0.27
    half = length / 2
    sections = int(rng.choice([6, 24]))
    pieces = [rod((-half, 0, 0), (half, 0, 0), 0.0105, Slot.ACCENT, "handle")]
    for side in (-1, 1):
        near, far = side * (half - weight), side * half
        disc = rod((near, 0, 0), (far, 0, 0), radius, sections=sections)
        pieces.append(disc)
    return pieces
