"""From hits to pixels: textures, light, shadow, highlights and what a camera adds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rose_ros.data.tabletop.materials import (
    Finish,
    Material,
    Surface,
    sample_noise,
    surface_colour,
    wood_grain,
)
from rose_ros.data.tabletop.raycast import Hits, RayCaster, Triangles

_CURVE_STEPS = 4096


@dataclass(frozen=True, slots=True)
class Lighting:
    """One lamp with a shadow, one fill light without, and light from above and below.

    position: metres. The rest is linear light (r, g, b); fill_direction points to the fill light.
    """

    position: tuple[float, float, float]
    lamp: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill: tuple[float, float, float]
    above: tuple[float, float, float]
    below: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the camera does to the light: exposure, vignette 0..1, noise in grey levels, blur."""

    exposure: float
    vignette: float
    noise: float
    blur: bool


def shade(
    triangles: Triangles,
    caster: RayCaster,
    materials: tuple[Material, ...],
    surfaces: tuple[Surface, ...],
    lighting: Lighting,
    hits: Hits,
    origin: NDArray[np.float64],
    directions: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return linear light (n, 3) and world normals (n, 3) of all hits.

    ``surfaces`` are those of the ids 1, 2, 3; ``materials`` are indexed by ``Triangles.material``.
    """
    face = hits.face
    points = origin.astype(np.float32) + hits.depth[:, None] * directions
    towards = -directions / _lengths(directions)
    normals = np.einsum("nk,nkc->nc", hits.weights, triangles.normals[face])
    normals /= _lengths(normals)
    facing = np.einsum("nc,nc->n", normals, towards)
    normals *= np.where(facing < 0, np.float32(-1), np.float32(1))[:, None]

    material = triangles.material[face]
    albedo = _albedo(triangles, materials, surfaces, hits, points, normals, material)
    table = _MaterialTable.of(materials)

    to_lamp = _vector(lighting.position) - points
    distance = _lengths(to_lamp)
    to_lamp /= distance
    lit = np.einsum("nc,nc->n", normals, to_lamp)
    candidates = np.flatnonzero(lit > 0)
    hidden = caster.blocked(points[candidates], normals[candidates], _vector(lighting.position))
    lit[candidates[hidden]] = 0.0
    np.maximum(lit, 0.0, out=lit)
    lamp = (lit * np.minimum(1.4 / distance[:, 0], 1.2))[:, None] * _vector(lighting.lamp)

    fill = np.maximum(normals @ _vector(lighting.fill_direction), 0.0)[:, None]
    sky = 0.5 + 0.5 * normals[:, 2:3]
    openness = np.einsum("nk,nk->n", hits.weights, triangles.openness[face])[:, None]
    above, below = _vector(lighting.above), _vector(lighting.below)
    ambient = below + sky * (above - below) + fill * _vector(lighting.fill)
    ambient *= openness

    finish, gloss, sharpness = table.finish[material], table.gloss[material], table.sharp[material]
    metal = finish == Finish.METAL
    light = albedo * (lamp + ambient) * np.where(metal, np.float32(0.4), np.float32(1))[:, None]

    half = to_lamp + towards
    half /= _lengths(half)
    cosine = np.maximum(np.einsum("nc,nc->n", normals, half), 1e-4)
    shine = gloss * np.exp2(sharpness * np.log2(cosine)) * (lit > 0)
    tint = np.where(metal[:, None], albedo * 1.6, np.float32(1))
    light += shine[:, None] * tint * _vector(lighting.lamp)

    mirror = np.where(metal, np.float32(1.9), 0.9 * gloss) * openness[:, 0]
    _add_reflections(light, albedo, normals, towards, mirror, metal, above, below)
    glow = finish == Finish.GLOW
    light[glow] = albedo[glow] * 1.9
    return light, normals


@dataclass(frozen=True, slots=True)
class _MaterialTable:
    """Materials as arrays, for lookup per pixel."""

    colour: NDArray[np.float32]
    finish: NDArray[np.uint8]
    gloss: NDArray[np.float32]
    sharp: NDArray[np.float32]

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, materials: tuple[Material, ...]) -> _MaterialTable:
        return cls(
            np.array([entry.colour for entry in materials], dtype=np.float32),
            np.array([entry.finish for entry in materials], dtype=np.uint8),
            np.array([entry.gloss for entry in materials], dtype=np.float32),
            np.array([entry.sharpness for entry in materials], dtype=np.float32),
        )


def _albedo(
    triangles: Triangles,
    materials: tuple[Material, ...],
    surfaces: tuple[Surface, ...],
    hits: Hits,
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    material: NDArray[np.int16],
) -> NDArray[np.float32]:
    """Return the surface colour (n, 3) in linear light."""
    table = _MaterialTable.of(materials)
    albedo = table.colour[material]
    owner = triangles.owner[hits.face]
    for index, surface in enumerate(surfaces, start=1):
        here = np.flatnonzero(owner == index)
        if len(here) == 0:
            continue
        flat = np.abs(normals[here, 2]) > 0.5
        x = np.where(flat, points[here, 0], points[here, 0] + points[here, 1])
        y = np.where(flat, points[here, 1], points[here, 2])
        albedo[here] = surface_colour(surface, x, y)
    here = np.flatnonzero(owner > len(surfaces))
    if len(here):
        face = hits.face[here]
        local = np.einsum("nk,nkc->nc", hits.weights[here], triangles.local[face])
        along, across = local[:, 0] + 0.21 * local[:, 1], local[:, 2] + 0.83 * local[:, 1]
        mottle = 0.94 + 0.12 * sample_noise(0, along * 2.0, across * 2.0)
        wood = table.finish[material[here]] == Finish.WOOD
        grain = 1.0 - 0.62 * wood_grain(along[wood] * 1.5, across[wood] * 1.2)
        mottle[wood] *= grain
        metal = table.finish[material[here]] == Finish.METAL
        brushed = sample_noise(2, local[metal, 0] * 0.5, (local[metal, 2] + local[metal, 1]) * 3.0)
        mottle[metal] *= 0.62 + 0.76 * brushed
        albedo[here] *= mottle[:, None]
    return albedo


def _add_reflections(
    light: NDArray[np.float32],
    albedo: NDArray[np.float32],
    normals: NDArray[np.float32],
    towards: NDArray[np.float32],
    strength: NDArray[np.float32],
    metal: NDArray[np.bool_],
    above: NDArray[np.float32],
    below: NDArray[np.float32],
) -> None:
    """Mirror a simple room (bright above, dark horizon, windows) in metals and glossy edges."""
    here = np.flatnonzero(strength > 0.2)
    if len(here) == 0:
        return
    normal, view = normals[here], towards[here]
    facing = np.einsum("nc,nc->n", normal, view)
    mirrored = 2.0 * facing[:, None] * normal - view
    height = np.clip((mirrored[:, 2] + 0.25) / 0.9, 0.0, 1.0)
    turn = np.arctan2(mirrored[:, 1], mirrored[:, 0]) * np.float32(1.0 / (2.0 * np.pi))
    window = sample_noise(0, turn, mirrored[:, 2] * 0.2)
    contrast = np.clip(4.0 * (window - 0.38), 0.0, 1.6)
    room = (0.15 + 0.55 * height + height * contrast)[:, None] * (above + 0.4 * below)
    fresnel = 0.04 + 0.5 * (1.0 - np.clip(facing, 0.0, 1.0)) ** 4
    share = (strength[here] * np.where(metal[here], np.float32(1), fresnel))[:, None]
    colour = np.where(metal[here][:, None], albedo[here], np.float32(1))
    light[here] += (share * colour * room).astype(np.float32)


def _vector(values: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return three numbers as a float32 vector."""
    return np.array(values, dtype=np.float32)


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lengths (n, 1) of vectors (n, 3)."""
    return np.sqrt(np.einsum("nc,nc->n", vectors, vectors))[:, None]


@lru_cache(maxsize=1)
def _display_curve() -> NDArray[np.float32]:
    """Return display values 0..255 for linear light 0..1: soft shoulder, then gamma."""
    x = np.linspace(0.0, 1.6, _CURVE_STEPS)
    shoulder = np.where(x < 0.7, x, 0.7 + 0.3 * np.tanh((x - 0.7) / 0.3))
    return (255.0 * shoulder ** (1 / 2.2)).astype(np.float32)


def expose(
    light: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Turn linear light (height, width, 3) into a camera image."""
    height, width = light.shape[:2]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    gain = np.float32(sensor.exposure) * (1.0 - np.float32(sensor.vignette) * 0.5 * (x * x + y * y))
    value = light * gain[:, :, None]
    index = np.clip(value * np.float32(_CURVE_STEPS / 1.6), 0, _CURVE_STEPS - 1).astype(np.int32)
    image = _display_curve()[index]
    if sensor.blur:
        image = _blurred(image)
    image += np.float32(sensor.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur lightly with the kernel 1 4 1 both ways."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        size = image.shape[axis]
        before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
        image = (before + 4.0 * image + after) * np.float32(1 / 6)
    return image
