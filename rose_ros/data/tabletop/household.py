"""Meshes of things from the kitchen and the living room; lengths in metres, z up."""

from __future__ import annotations

import numpy as np

from rose_ros.data.tabletop.meshes import (
    Piece,
    Slot,
    arc,
    box,
    moved,
    revolve,
    rod,
    tube,
)

Rng = np.random.Generator


def mug(rng: Rng) -> list[Piece]:
    """Build an upright cup with one ear."""
    radius, height = rng.uniform(0.043, 0.052), rng.uniform(0.095, 0.118)
    foot = radius * rng.uniform(0.82, 1.0)
    wall = 0.004
    body = [(0, 0), (foot, 0), (radius, 0.02), (radius, height), (radius - wall, height)]
    inside = [(radius - wall, 0.02), (foot - wall, 0.008), (0, 0.006)]
    reach = rng.uniform(0.030, 0.038)
    ear = arc((radius - 0.003, 0, height * 0.52), (reach, height * 0.3), -1.65, 1.65, 13)
    return [
        revolve([*body, *inside]),
        tube(ear, 0.0075, Slot.ACCENT, "handle", flatten=1.25),
    ]


def bowl(rng: Rng) -> list[Piece]:
    """Build an open round bowl on a small foot."""
    radius, height = rng.uniform(0.074, 0.094), rng.uniform(0.052, 0.066)
    angles = np.linspace(0.12 * np.pi, 0.5 * np.pi, 8)
    outer = [(radius * np.sin(a), 0.006 + height * (1 - np.cos(a))) for a in angles]
    inner = [(r * 0.94, z + 0.005 * (1 - k / 7)) for k, (r, z) in enumerate(outer)]
    foot = [(0, 0), (radius * 0.42, 0), (radius * 0.42, 0.006)]
    return [revolve([*foot, *outer, *reversed(inner), (0, 0.014)])]


def plate(rng: Rng) -> list[Piece]:
    """Build a flat plate with a raised rim."""
    radius, rise = rng.uniform(0.094, 0.115), rng.uniform(0.02, 0.028)
    well = radius * rng.uniform(0.6, 0.68)
    edge = rise - 0.006
    outer = [(0, 0), (well * 0.9, 0), (well, 0.003), (well * 1.06, edge - 0.003)]
    outer += [(radius, rise), (radius, rise + 0.004)]
    inner = [(well * 1.06, edge + 0.002), (well * 0.96, 0.006), (well * 0.9, 0.005), (0, 0.005)]
    return [revolve([*outer, *inner], sections=40)]


def bottle(rng: Rng) -> list[Piece]:
    """Build a slim bottle with a narrow neck and a cap."""
    radius, height = rng.uniform(0.031, 0.039), rng.uniform(0.205, 0.255)
    neck = rng.uniform(0.011, 0.014)
    shoulder = height * rng.uniform(0.52, 0.62)
    angles = np.linspace(0, np.pi / 2, 6)
    bend = [
        (neck + (radius - neck) * np.cos(a), shoulder + height * 0.16 * np.sin(a)) for a in angles
    ]
    top = height - 0.022
    body = [(0, 0), (radius * 0.92, 0), (radius, 0.006), *bend, (neck, top), (0, top)]
    cap = [(0, top), (neck + 0.004, top), (neck + 0.004, height), (0, height)]
    return [revolve(body), revolve(cap, Slot.ACCENT, "cap")]


def jar(rng: Rng) -> list[Piece]:
    """Build a wide jar with a broad lid."""
    radius, height = rng.uniform(0.042, 0.052), rng.uniform(0.085, 0.115)
    mouth = radius * 0.8
    body = [
        (0, 0),
        (radius * 0.93, 0),
        (radius, 0.008),
        (radius, height * 0.76),
        (radius * 0.94, height * 0.84),
        (mouth, height * 0.88),
        (mouth, height * 0.9),
        (0, height * 0.9),
    ]
    rim, low, high = mouth + 0.006, height * 0.9, height * 1.1
    lid = [(0, low), (rim, low), (rim, high - 0.003), (rim - 0.003, high), (0, high)]
    return [revolve(body), revolve(lid, Slot.ACCENT, "lid")]


def can(rng: Rng) -> list[Piece]:
    """Build a drinks can with bare metal ends."""
    radius, height = rng.uniform(0.034, 0.041), rng.uniform(0.115, 0.135)
    neck = radius * 0.82
    side = [(radius * 0.86, 0.004), (radius, 0.013), (radius, height - 0.016), (neck, height)]
    base = [(0, 0.004), (radius * 0.76, 0.0), (radius * 0.86, 0.004)]
    top = [(neck, height), (neck, height + 0.004), (neck - 0.003, height + 0.004)]
    top += [(neck - 0.004, height), (0, height)]
    return [
        revolve(side),
        revolve(base, Slot.STEEL),
        revolve(top, Slot.STEEL),
        box((0.014, 0.009, 0.003), (0.006, 0, height + 0.002), Slot.DARK),
    ]


def vase(rng: Rng) -> list[Piece]:
    """Build a bellied vase with a waist and a flared lip."""
    height, belly = rng.uniform(0.18, 0.235), rng.uniform(0.048, 0.062)
    neck = belly * rng.uniform(0.32, 0.42)
    lip = belly * rng.uniform(0.66, 0.82)
    z = np.array([0.0, 0.12, 0.3, 0.48, 0.62, 0.74, 0.86, 1.0]) * height
    r = np.array([belly * 0.55, belly * 0.85, belly, belly * 0.86, belly * 0.56, neck, neck, lip])
    fine = np.linspace(0, height, 22)
    radii = _smooth(z, r, fine)
    outer = list(zip(radii, fine, strict=True))
    inner = [(radius - 0.004, level) for radius, level in reversed(outer[8:])]
    return [revolve([(0, 0), *outer, *inner, (0, outer[8][1])])]


def _smooth(x: np.ndarray, y: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Interpolate without overshooting between the points of a profile."""
    from scipy.interpolate import PchipInterpolator

    return np.asarray(PchipInterpolator(x, y)(fine))


def goblet(rng: Rng) -> list[Piece]:
    """Build a drinking cup on a stem with a round foot."""
    radius, height = rng.uniform(0.038, 0.046), rng.uniform(0.15, 0.185)
    waist = height * rng.uniform(0.42, 0.5)
    foot = [(0, 0), (radius * 0.85, 0), (radius * 0.85, 0.004), (0.008, 0.016)]
    stem = [(0.008, 0.016), (0.0065, waist * 0.5), (0.008, waist)]
    angles = np.linspace(0.1, 0.62 * np.pi, 10)
    cup = [
        (radius * np.sin(a), waist + (height - waist) * (1 - np.cos(a)) / (1 - np.cos(angles[-1])))
        for a in angles
    ]
    inner = [(r - 0.0035, z + 0.003 * (z < height)) for r, z in reversed(cup)]
    return [
        revolve(foot),
        revolve(stem, part="stem", sections=16),
        revolve([(0, waist - 0.002), *cup, *inner[:-1], (0, waist + 0.008)]),
    ]


def kettle(rng: Rng) -> list[Piece]:
    """Build a bellied kettle: spout to +x, arched handle above, lid with a knob."""
    radius, height = rng.uniform(0.066, 0.078), rng.uniform(0.095, 0.115)
    z = np.array([0.0, 0.06, 0.3, 0.6, 0.85, 1.0]) * height
    r = np.array([0.78, 0.9, 1.0, 0.92, 0.66, 0.48]) * radius
    levels = np.linspace(0, height, 14)
    body = list(zip(_smooth(z, r, levels), levels, strict=True))
    top = radius * 0.5
    lid = [(top, height - 0.002), (top, height + 0.004), (top * 0.6, height + 0.013)]
    lid += [(0.006, height + 0.017), (0.006, height + 0.022), (0.012, height + 0.028)]
    lid += [(0.010, height + 0.035), (0, height + 0.037)]
    reach = radius * rng.uniform(0.62, 0.8)
    spout = [
        (radius * 0.8, 0, height * 0.32),
        (radius * 1.05, 0, height * 0.42),
        (radius * 1.25, 0, height * 0.68),
        (radius + reach, 0, height * 0.98),
    ]
    bow = arc((0, 0, height * 0.72), (radius * 0.82, height * 0.95), 0.12, np.pi - 0.12, 17)
    return [
        revolve([(0, 0), *body, (0, height)]),
        revolve(lid, Slot.BODY, "lid", sections=24),
        tube(spout, [0.02, 0.016, 0.012, 0.0095], Slot.BODY, "spout"),
        tube(bow, 0.0068, Slot.ACCENT, "handle", flatten=1.5),
    ]


def pan(rng: Rng) -> list[Piece]:
    """Build a shallow frying pan with a long straight handle to +x."""
    radius, height = rng.uniform(0.082, 0.1), rng.uniform(0.03, 0.042)
    outer = [(0, 0), (radius * 0.84, 0), (radius * 0.88, 0.003), (radius, height)]
    inner = [(radius - 0.005, height), (radius * 0.84, 0.006), (0, 0.006)]
    length = rng.uniform(0.13, 0.165)
    grip = [(radius - 0.008, 0, height * 0.8), (radius + 0.03, 0, height * 0.95)]
    grip += [(radius + length * 0.8, 0, height * 1.25), (radius + length, 0, height * 1.25)]
    return [
        revolve([*outer, *inner], sections=40),
        tube(grip, [0.006, 0.0075, 0.0095, 0.008], Slot.ACCENT, "handle", flatten=1.5),
    ]


def spoon(rng: Rng) -> list[Piece]:
    """Build a large spoon lying on its back, handle to +x."""
    length, width = rng.uniform(0.16, 0.2), rng.uniform(0.024, 0.030)
    angles = np.linspace(0.02, np.pi / 2, 8)
    outer = [(width * np.sin(a), 0.021 - 0.021 * np.cos(a)) for a in angles]
    inner = [(r * 0.9, z + 0.003) for r, z in reversed(outer)]
    scoop = revolve([(0, 0), *outer, *inner, (0, 0.004)], sections=28)
    scoop.mesh.vertices[:, 0] *= 1.5
    start = width * 1.5
    grip = [(start - 0.006, 0, 0.020), (start + 0.02, 0, 0.025), (start + length * 0.6, 0, 0.019)]
    grip += [(start + length, 0, 0.010), (start + length + 0.004, 0, 0.010)]
    return [
        scoop,
        tube(grip, [0.0045, 0.0045, 0.005, 0.0065, 0.004], part="handle", flatten=1.6),
    ]


def funnel(rng: Rng) -> list[Piece]:
    """Build a funnel standing on its wide mouth, spout up."""
    radius, height = rng.uniform(0.062, 0.076), rng.uniform(0.06, 0.078)
    neck, length = rng.uniform(0.010, 0.013), rng.uniform(0.05, 0.066)
    shell = [(radius - 0.004, 0), (radius, 0), (radius, 0.012), (radius * 0.95, 0.013)]
    shell += [(neck, height), (neck - 0.003, height), (radius * 0.9, 0.010), (radius - 0.004, 0)]
    tip = height + length
    pipe = [(neck, height), (neck * 0.7, tip), (neck * 0.7 - 0.0025, tip)]
    pipe += [(neck * 0.7 - 0.0025, height), (0, height)]
    return [revolve(shell), revolve(pipe, part="spout", sections=20)]


def candle(rng: Rng) -> list[Piece]:
    """Build a burning pillar candle."""
    radius, height = rng.uniform(0.024, 0.032), rng.uniform(0.085, 0.135)
    wax = [(0, 0), (radius, 0), (radius, height), (radius - 0.005, height + 0.002)]
    wax += [(radius - 0.009, height - 0.005), (0, height - 0.006)]
    z = height + 0.006
    flame = [(0, z), (0.006, z + 0.006), (0.0085, z + 0.014), (0.006, z + 0.026), (0, z + 0.044)]
    return [
        revolve(wax),
        rod((0, 0, height - 0.008), (0, 0, z + 0.004), 0.0018, Slot.DARK, sections=6),
        revolve(flame, Slot.FLAME, "flame", sections=12),
    ]


def lamp(rng: Rng) -> list[Piece]:
    """Build a table lamp: round base, thin stem, wide shade."""
    height, wide = rng.uniform(0.235, 0.28), rng.uniform(0.072, 0.086)
    narrow = wide * rng.uniform(0.5, 0.68)
    low, high = height * 0.55, height
    foot = [(0, 0), (0.05, 0), (0.05, 0.008), (0.03, 0.016), (0.008, 0.022), (0.0065, 0.03)]
    foot += [(0.0065, low + 0.05), (0, low + 0.05)]
    shade = [(wide - 0.003, low), (wide, low), (narrow, high), (narrow - 0.003, high)]
    shade.append((wide - 0.003, low))
    return [revolve(foot, Slot.ACCENT, "base", sections=24), revolve(shade, part="shade")]


def book(rng: Rng) -> list[Piece]:
    """Build a closed book lying flat, spine to -x."""
    width, length = rng.uniform(0.1, 0.125), rng.uniform(0.14, 0.175)
    thick = rng.uniform(0.024, 0.04)
    cover = 0.0035
    return [
        box((width, length, cover), (0, 0, cover / 2)),
        box((width, length, cover), (0, 0, thick - cover / 2)),
        box((cover, length, thick), (-width / 2, 0, thick / 2)),
        box(
            (width - 0.01, length - 0.01, thick - 2 * cover),
            (-0.003, 0, thick / 2),
            Slot.PAPER,
            "pages",
        ),
    ]


def tray(rng: Rng) -> list[Piece]:
    """Build a flat rectangular tray with a low wall and two raised handles."""
    width, length = rng.uniform(0.13, 0.155), rng.uniform(0.2, 0.245)
    wall, thick = rng.uniform(0.018, 0.026), 0.005
    half_w, half_l = width / 2, length / 2
    pieces = [box((length, width, thick), (0, 0, thick / 2))]
    for side in (-1, 1):
        pieces.append(box((length, thick, wall), (0, side * (half_w - thick / 2), wall / 2)))
        pieces.append(box((thick, width, wall), (side * (half_l - thick / 2), 0, wall / 2)))
        bow = arc((0, 0, wall - 0.002), (width * 0.26, 0.026), 0.0, np.pi, 11)
        handle = tube(bow, 0.005, Slot.ACCENT, "handles", sections=8)
        pieces.append(moved(handle, (side * (half_l - thick / 2), 0, 0), np.pi / 2))
    return pieces


def stool(rng: Rng) -> list[Piece]:
    """Build a small three- or four-legged stool."""
    radius, height = rng.uniform(0.052, 0.062), rng.uniform(0.095, 0.125)
    seat = [(0, height), (radius, height), (radius, height + 0.013), (0, height + 0.013)]
    legs = int(rng.integers(3, 5))
    pieces = [revolve(seat, part="seat")]
    for k in range(legs):
        angle = 2 * np.pi * k / legs + 0.5
        out = np.array([np.cos(angle), np.sin(angle)])
        foot, top = (*(out * radius * 1.02), 0.0), (*(out * radius * 0.62), height)
        pieces.append(rod(foot, top, 0.0075, Slot.ACCENT, "legs", sections=10))
    return pieces


def bell(rng: Rng) -> list[Piece]:
    """Build a hand bell standing on its mouth, handle up."""
    radius, height = rng.uniform(0.048, 0.058), rng.uniform(0.078, 0.092)
    z = np.array([0.0, 0.1, 0.3, 0.6, 0.85, 0.97, 1.0]) * height
    r = np.array([1.0, 0.86, 0.7, 0.58, 0.47, 0.26, 0.1]) * radius
    levels = np.linspace(0, height, 16)
    outer = list(zip(_smooth(z, r, levels), levels, strict=True))
    grip = height + rng.uniform(0.055, 0.07)
    stick = [(0, height - 0.003), (0.0075, height - 0.002), (0.0105, (height + grip) / 2)]
    stick += [(0.0075, grip - 0.014), (0.0115, grip - 0.006), (0.007, grip), (0, grip)]
    return [
        revolve([(radius * 0.93, 0), *outer, (0, height)]),
        revolve(stick, Slot.ACCENT, "handle", sections=18),
    ]
