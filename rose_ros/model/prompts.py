"""The words around what a planner says: one place, the same in training and at run time."""

from __future__ import annotations

EVERYTHING = "Segment everything."
#: Asks for the named parts of everything: handles, lids, legs.
EVERY_PART = "Segment every part."
#: Says of a mask that its outline can be better, and no more.
REFINE_OUTLINE = "refine the edge"
#: Asks for the noun of a region by its shape alone.
KIND_PROMPT = "<bos>What kind of thing is <region>?"


def find_prompt(description: str) -> str:
    """Return the instruction that looks for ``description``, e.g. "the red mug"."""
    return f"Segment {description.strip().rstrip('.')}."


def refine_prompt(label: str, text: str) -> str:
    """Return the instruction that corrects a previous mask named ``label`` as ``text`` says."""
    return f"Previous: {label.strip()}. {text.strip()}"
