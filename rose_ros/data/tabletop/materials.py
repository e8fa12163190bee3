"""What objects are made of: colours, finishes and the patterns of the room's surfaces."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Displayed (gamma-encoded) colours in 0..255, chosen to stay apart under warm and cool light.
BASE_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 28, 36),
    "orange": (244, 124, 16),
    "yellow": (248, 214, 36),
    "green": (40, 150, 62),
    "blue": (32, 82, 200),
    "purple": (122, 48, 168),
    "pink": (248, 138, 184),
    "brown": (96, 56, 32),
    "black": (38, 38, 42),
    "white": (242, 241, 236),
    "grey": (128, 130, 133),
    "wooden": (204, 156, 98),
    "steel": (178, 190, 206),
    "copper": (210, 114, 72),
}

NOISE_SIZE = 512

#: float32 wherever speed counts; where numpy widens a few numbers it does not matter.
Floats = NDArray[np.floating]


class Finish(IntEnum):
    """How a material answers light."""

    PLAIN = 0
    METAL = 1
    WOOD = 2
    GLOW = 3


class Pattern(IntEnum):
    """The pattern of a room surface."""

    PLAIN = 0
    WOOD = 1
    PLANKS = 2
    CHECKER = 3
    CLOTH = 4
    STONE = 5
    STRIPES = 6
    TILES = 7
    BRICKS = 8


@dataclass(frozen=True, slots=True)
class Material:
    """Colour in linear light, ``gloss`` 0..1 (strength of the highlight) and its sharpness."""

    colour: tuple[float, float, float]
    finish: Finish = Finish.PLAIN
    gloss: float = 0.2
    sharpness: float = 30.0


@dataclass(frozen=True, slots=True)
class Surface:
    """A patterned plane: two colours in linear light, ``scale`` repeats per metre, turned."""

    pattern: Pattern
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    scale: float
    turn: float
    gloss: float


def linear(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """Convert a displayed colour in 0..255 to linear light in 0..1."""
    r, g, b = ((channel / 255.0) ** 2.2 for channel in colour)
    return r, g, b


def material(name: str, rng: np.random.Generator) -> Material:
    """Draw one material of a named colour: small changes of hue and value, any finish."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255.0 for c in BASE_COLOURS[name]))
    hue = (hue + rng.uniform(-0.012, 0.012)) % 1.0
    saturation = min(1.0, saturation * rng.uniform(0.9, 1.08))
    value = min(1.0, value * rng.uniform(0.9, 1.06))
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    colour = linear((255 * r, 255 * g, 255 * b))
    if name in ("steel", "copper"):
        return Material(colour, Finish.METAL, rng.uniform(0.7, 1.0), rng.uniform(25.0, 90.0))
    if name == "wooden":
        return Material(colour, Finish.WOOD, rng.uniform(0.02, 0.15), 20.0)
    gloss = float(rng.choice([0.03, 0.15, 0.35, 0.55]))
    return Material(colour, Finish.PLAIN, gloss, rng.uniform(15.0, 120.0))


STEEL = Material(linear(BASE_COLOURS["steel"]), Finish.METAL, 0.8, 50.0)
DARK = Material(linear((34, 34, 38)), Finish.PLAIN, 0.15, 30.0)
PAPER = Material(linear((240, 232, 210)), Finish.PLAIN, 0.02, 10.0)
FLAME = Material(linear((255, 205, 95)), Finish.GLOW, 0.0, 10.0)

_TABLES = (
    (Pattern.WOOD, (150, 100, 60), (104, 66, 38)),
    (Pattern.WOOD, (196, 160, 116), (160, 120, 80)),
    (Pattern.WOOD, (92, 62, 44), (60, 38, 26)),
    (Pattern.PLANKS, (178, 136, 92), (120, 84, 54)),
    (Pattern.PLANKS, (128, 116, 104), (84, 76, 70)),
    (Pattern.PLAIN, (214, 212, 206), (196, 194, 188)),
    (Pattern.PLAIN, (104, 116, 122), (92, 104, 110)),
    (Pattern.PLAIN, (62, 72, 70), (54, 62, 60)),
    (Pattern.PLAIN, (176, 190, 178), (164, 178, 166)),
    (Pattern.CHECKER, (226, 224, 218), (150, 168, 190)),
    (Pattern.CHECKER, (222, 216, 204), (168, 110, 104)),
    (Pattern.CLOTH, (196, 186, 168), (168, 156, 138)),
    (Pattern.CLOTH, (116, 134, 156), (92, 108, 130)),
    (Pattern.CLOTH, (150, 166, 132), (124, 140, 108)),
    (Pattern.STONE, (176, 174, 170), (112, 110, 110)),
    (Pattern.STONE, (72, 74, 80), (124, 126, 132)),
    (Pattern.STRIPES, (218, 212, 200), (142, 160, 176)),
    (Pattern.TILES, (206, 208, 206), (150, 150, 148)),
)
_FLOORS = (
    (Pattern.PLANKS, (160, 120, 82), (106, 76, 50)),
    (Pattern.PLANKS, (108, 84, 66), (70, 52, 40)),
    (Pattern.TILES, (188, 184, 176), (132, 130, 126)),
    (Pattern.CHECKER, (200, 198, 192), (70, 72, 76)),
    (Pattern.STONE, (134, 134, 132), (100, 100, 100)),
    (Pattern.CLOTH, (122, 96, 96), (100, 76, 78)),
    (Pattern.CLOTH, (92, 108, 122), (74, 88, 102)),
)
_WALLS = (
    (Pattern.PLAIN, (222, 218, 208), (212, 208, 198)),
    (Pattern.PLAIN, (168, 190, 200), (160, 182, 192)),
    (Pattern.PLAIN, (206, 190, 162), (196, 180, 152)),
    (Pattern.PLAIN, (150, 170, 146), (142, 162, 138)),
    (Pattern.PLAIN, (108, 112, 122), (100, 104, 114)),
    (Pattern.STRIPES, (218, 208, 196), (190, 178, 166)),
    (Pattern.BRICKS, (160, 94, 76), (186, 178, 168)),
    (Pattern.BRICKS, (206, 204, 200), (172, 170, 166)),
    (Pattern.TILES, (214, 222, 224), (168, 176, 180)),
)
_SCALES = {
    Pattern.PLAIN: (2.0, 4.0),
    Pattern.WOOD: (1.0, 2.0),
    Pattern.PLANKS: (5.0, 9.0),
    Pattern.CHECKER: (7.0, 16.0),
    Pattern.CLOTH: (40.0, 70.0),
    Pattern.STONE: (1.5, 4.0),
    Pattern.STRIPES: (6.0, 14.0),
    Pattern.TILES: (4.0, 8.0),
    Pattern.BRICKS: (4.0, 6.0),
}


def surface(kind: str, rng: np.random.Generator) -> Surface:
    """Draw the surface of the "table", "floor" or "wall"."""
    choices = {"table": _TABLES, "floor": _FLOORS, "wall": _WALLS}[kind]
    pattern, first, second = choices[rng.integers(len(choices))]
    low, high = _SCALES[pattern]
    scale = rng.uniform(low, high) * (1.0 if kind == "table" else 0.55)
    turn = 0.0 if kind == "wall" else rng.uniform(0, np.pi)
    gain = rng.uniform(0.88, 1.08)
    tint = rng.uniform(0.96, 1.04, 3)
    colours = [
        linear(tuple(np.clip(np.array(c) * gain * tint, 0, 255).tolist())) for c in (first, second)
    ]
    gloss = rng.uniform(0.0, 0.25) if kind == "table" else 0.02
    return Surface(pattern, colours[0], colours[1], scale, turn, gloss)


@lru_cache(maxsize=1)
def noise_tiles() -> NDArray[np.float32]:
    """Build periodic noise (3, NOISE_SIZE, NOISE_SIZE) in 0..1: soft, fractal and streaky."""
    rng = np.random.default_rng(20240)
    fy = np.fft.fftfreq(NOISE_SIZE)[:, None] * NOISE_SIZE
    fx = np.fft.rfftfreq(NOISE_SIZE)[None, :] * NOISE_SIZE
    distance = np.hypot(fx, fy)
    filters = (
        np.exp(-((distance / 10.0) ** 2)),
        1.0 / np.maximum(distance, 4.0) ** 1.2,
        np.exp(-((fx / 3.0) ** 2)) / np.maximum(np.abs(fy), 6.0) ** 0.7,
    )
    tiles = []
    for gain in filters:
        spectrum = np.fft.rfft2(rng.standard_normal((NOISE_SIZE, NOISE_SIZE))) * gain
        spectrum[0, 0] = 0.0
        tile = np.fft.irfft2(spectrum, s=(NOISE_SIZE, NOISE_SIZE))
        tiles.append(np.clip(0.5 + 0.2 * tile / tile.std(), 0.0, 1.0))
    return np.stack(tiles).astype(np.float32)


def sample_noise(tile: int, x: Floats, y: Floats) -> Floats:
    """Look noise up at periods x and y (n,), one period = one tile."""
    column = (x * NOISE_SIZE).astype(np.int32) & (NOISE_SIZE - 1)
    row = (y * NOISE_SIZE).astype(np.int32) & (NOISE_SIZE - 1)
    return noise_tiles()[tile].reshape(-1)[row * NOISE_SIZE + column]


def surface_colour(what: Surface, x: Floats, y: Floats) -> Floats:
    """Evaluate a surface at plane coordinates in metres (n,); returns linear light (n, 3)."""
    cos, sin = np.float32(np.cos(what.turn)), np.float32(np.sin(what.turn))
    u, v = (cos * x - sin * y), (sin * x + cos * y)
    scale = np.float32(what.scale)
    share = _PATTERNS[what.pattern](u, v, scale)
    mottle = 0.92 + 0.16 * sample_noise(1, u * 0.7, v * 0.7)
    first = np.array(what.first, dtype=np.float32)
    second = np.array(what.second, dtype=np.float32)
    return (first + share[:, None] * (second - first)) * mottle[:, None]


def wood_grain(along: Floats, across: Floats) -> Floats:
    """Return the share of dark grain (n,) in 0..1; lengths in metres."""
    streak = sample_noise(2, along * 0.8, across * 1.7)
    wave = sample_noise(0, along * 0.6, across * 1.5)
    rings = 0.5 + 0.5 * np.sin(across * 150.0 + wave * 16.0)
    return np.clip(0.55 * rings * rings + 0.9 * (streak - 0.35), 0.0, 1.0).astype(np.float32)


def _plain(u: Floats, v: Floats, scale: np.float32) -> Floats:
    return sample_noise(1, u * scale * 0.3, v * scale * 0.3)


def _wood(u: Floats, v: Floats, scale: np.float32) -> Floats:
    return wood_grain(u * scale * 0.5, v * scale * 0.5)


def _planks(u: Floats, v: Floats, scale: np.float32) -> Floats:
    row = np.floor(v * scale)
    shifted = u + row * np.float32(0.377)
    plank = np.floor(shifted * scale * 0.16)
    tone = sample_noise(1, row * np.float32(0.617) + plank * np.float32(0.291), row * 0.0)
    seam = (np.abs(v * scale - row - 0.5) > 0.475) | (
        np.abs(shifted * scale * 0.16 - plank - 0.5) > 0.495
    )
    grain = sample_noise(2, shifted * 0.8, v * 1.9)
    return np.where(seam, np.float32(1.25), np.clip(1.2 * tone + 0.7 * grain - 0.45, 0.0, 1.0))


def _checker(u: Floats, v: Floats, scale: np.float32) -> Floats:
    return ((np.floor(u * scale) + np.floor(v * scale)) % 2).astype(np.float32)


def _cloth(u: Floats, v: Floats, scale: np.float32) -> Floats:
    weave = np.sin(u * scale * 6.28) * np.sin(v * scale * 6.28)
    return (0.5 + 0.35 * weave + 0.6 * (sample_noise(1, u, v) - 0.5)).astype(np.float32)


def _stone(u: Floats, v: Floats, scale: np.float32) -> Floats:
    coarse = sample_noise(1, u * scale, v * scale)
    fine = sample_noise(1, u * scale * 4.3, v * scale * 4.3)
    return np.clip(3.0 * (0.5 * coarse + 0.5 * fine) - 1.0, 0.0, 1.0)


def _stripes(u: Floats, v: Floats, scale: np.float32) -> Floats:
    return ((u * scale) % 1.0 > 0.6).astype(np.float32)


def _tiles(u: Floats, v: Floats, scale: np.float32) -> Floats:
    column, row = np.floor(u * scale), np.floor(v * scale)
    joint = np.maximum(np.abs(u * scale - column - 0.5), np.abs(v * scale - row - 0.5)) > 0.47
    tone = sample_noise(1, column * np.float32(0.313), row * np.float32(0.417))
    return np.where(joint, np.float32(1.0), 0.35 * tone)


def _bricks(u: Floats, v: Floats, scale: np.float32) -> Floats:
    row = np.floor(v * scale * 2.2)
    shifted = u * scale + 0.5 * (row % 2)
    column = np.floor(shifted)
    joint = (np.abs(v * scale * 2.2 - row - 0.5) > 0.43) | (np.abs(shifted - column - 0.5) > 0.465)
    tone = sample_noise(1, column * np.float32(0.313), row * np.float32(0.417))
    return np.where(joint, np.float32(1.0), 0.4 * tone - 0.1)


_PATTERNS = {
    Pattern.PLAIN: _plain,
    Pattern.WOOD: _wood,
    Pattern.PLANKS: _planks,
    Pattern.CHECKER: _checker,
    Pattern.CLOTH: _cloth,
    Pattern.STONE: _stone,
    Pattern.STRIPES: _stripes,
    Pattern.TILES: _tiles,
    Pattern.BRICKS: _bricks,
}
