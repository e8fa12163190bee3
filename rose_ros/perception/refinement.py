"""What a planner's sentence asks for, by rules: rename, remove, undo, confirm, add; or a mask.

Rules are exact and come first. A text that no rule knows speaks of the mask, which the model
handles. Texts come from outside: nothing here trusts them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from rose_ros.errors import RequestError
from rose_ros.perception import phrasing as say
from rose_ros.perception.segments import Segment, Status

#: Bytes of a request's text, and of a name in it, in UTF-8.
MAX_TEXT_BYTES = 512
MAX_NAME_BYTES = 128


class Kind(Enum):
    """What a text asks for."""

    RENAME = "rename"
    REMOVE = "remove"
    UNDO = "undo"
    CONFIRM = "confirm"
    ADD = "add"
    MASK = "mask"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Intent:
    """A text, understood.

    text: what the model is told, for MASK. name: the new name, for RENAME; the description, for
    ADD. ids: the segments the text gives by number. mention: what the text calls the segment it
    means ("mug" in "a bowl, not a mug"). inside: the mention may be something in the mask, as in
    "remove the plate". several: the result may be several things ("split it").
    """

    kind: Kind
    text: str
    name: str = ""
    ids: tuple[int, ...] = ()
    mention: str = ""
    inside: bool = False
    several: bool = False


@dataclass(frozen=True, slots=True)
class Targets:
    """The segments a request means; ``status`` is OK, NO_TARGET or AMBIGUOUS."""

    status: Status
    segments: tuple[Segment, ...] = ()
    message: str = ""


def clean_text(text: str) -> str:
    """Return a request's text on one line without control characters.

    Raises ``RequestError`` when it is empty or longer than 512 bytes.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_TEXT_BYTES:
        raise RequestError(f"the text has {size} bytes; allowed are 1 to {MAX_TEXT_BYTES}")
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not cleaned:
        raise RequestError("the text is empty; say what is to change")
    return cleaned


def normalise_name(raw: str) -> str:
    """Return a planner's name as it is published: lower-case, otherwise letter for letter.

    Quotes mean exactly what is between them; without quotes, article and end punctuation go.
    Raises ``RequestError`` when nothing is left or it is longer than 128 bytes.
    """
    name = raw.strip().lower()
    quoted = say.QUOTED.fullmatch(name.rstrip(" .!"))
    if quoted:
        name = quoted["inside"].strip()
    else:
        name = say.ARTICLE.sub("", name.strip(" .,;:!?"), count=1)
    size = len(name.encode("utf-8", "replace"))
    if not 0 < size <= MAX_NAME_BYTES:
        raise RequestError(f"a name of {size} bytes; allowed are 1 to {MAX_NAME_BYTES}")
    return name


def parse(text: str, *, targeted: bool = False) -> Intent:
    """Return what a clean text asks for; ``targeted`` when the request itself gives segments.

    Raises ``RequestError`` for a name that is not allowed.
    """
    plain = say.TRAILING.sub("", text.lower())
    if not any(c.isalnum() for c in plain):
        return Intent(Kind.UNCLEAR, text)
    if match := say.UNDO.fullmatch(plain):
        return Intent(Kind.UNDO, text, ids=_ids(match["ids"]))
    if say.CONFIRM.fullmatch(plain):
        return Intent(Kind.CONFIRM, text, ids=_ids_in(plain))
    core = say.LEAD_IN.sub("", plain)
    for rule in (_remove, _rename, _unclear):
        intent = rule(core, text)
        if intent is not None:
            return intent
    if not targeted and not _ids_in(plain):
        intent = _add(core, text)
        if intent is not None:
            return intent
    return _mask(plain, text)


def _remove(core: str, text: str) -> Intent | None:
    for pattern in say.REMOVE:
        match = pattern.fullmatch(core)
        if match:
            words = match.groupdict()
            mention = _phrase(words.get("old") or "")
            ids = _ids(words.get("ids"))
            inside = pattern is say.REMOVE[0]
            return Intent(Kind.REMOVE, text, ids=ids, mention=mention, inside=inside)
    return None


def _rename(core: str, text: str) -> Intent | None:
    for pattern, is_plain in say.RENAME:
        match = pattern.fullmatch(core)
        if not match:
            continue
        words = match.groupdict()
        name, old = words["name"], words.get("old") or ""
        if not say.QUOTED.fullmatch(name):
            contrast = say.CONTRAST.fullmatch(name)
            if contrast:
                name, old = contrast["name"], old or contrast["old"]
            if is_plain and not say.is_noun_phrase(name):
                continue
        ids = _ids(words.get("ids"))
        return Intent(Kind.RENAME, text, normalise_name(name), ids, _phrase(old))
    return None


def _unclear(core: str, text: str) -> Intent | None:
    return Intent(Kind.UNCLEAR, text, ids=_ids_in(core)) if say.UNCLEAR.fullmatch(core) else None


def _add(core: str, text: str) -> Intent | None:
    """Recognise "you missed the screwdriver", but not "you missed the handle of the mug"."""
    if say.PART_OF.search(core):
        return None
    for pattern in say.ADD:
        match = pattern.fullmatch(core)
        if match:
            return Intent(Kind.ADD, text, name=match["thing"].strip())
    return None


def _mask(plain: str, text: str) -> Intent:
    """Everything else: the model gets the text without the number that says which segment."""
    part = say.PART_OF.search(plain)
    several = bool(say.SEVERAL.search(plain)) and not say.ONE.search(plain)
    intent = Intent(
        Kind.MASK, text, ids=_ids_in(plain), mention=part["whole"] if part else "", several=several
    )
    prefix = say.ID_PREFIX.match(text)
    return replace(intent, text=text[prefix.end() :]) if prefix else intent


def _ids(numbers: str | None) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(n) for n in re.findall(r"\d{1,10}", numbers or "")))


def _ids_in(plain: str) -> tuple[int, ...]:
    """Return the segment numbers that a text gives, e.g. "segments 3 and 4"."""
    found = [match["ids"] or match["first"] for match in say.IDS_ANYWHERE.finditer(plain)]
    return _ids(" ".join(found))


def _phrase(text: str) -> str:
    return say.ARTICLE.sub("", text.strip(" .,;:!?\"'"), count=1)


def choose_targets(
    intent: Intent, requested: Sequence[int], segments: Sequence[Segment]
) -> Targets:
    """Say which segments are meant: by the request's ids, ids in the text, or the old name."""
    ids = tuple(dict.fromkeys(requested)) or intent.ids
    if ids:
        known = {segment.id: segment for segment in segments}
        unknown = [i for i in ids if i not in known]
        if unknown:
            here = ", ".join(str(i) for i in sorted(known)) or "none"
            missing = ", ".join(str(i) for i in unknown)
            return Targets(
                Status.NO_TARGET, (), f"no segment {missing} in this frame; it has {here}"
            )
        return Targets(Status.OK, tuple(known[i] for i in ids))
    found = _named(intent.mention, segments) if intent.mention else ()
    if not found and intent.kind is Kind.MASK:
        found = mentioned(intent.text, segments)
    if len(found) == 1:
        return Targets(Status.OK, found)
    if found:
        listed = ", ".join(f"{s.id} ({s.label.text})" for s in found)
        return Targets(Status.AMBIGUOUS, found, f"several segments fit: {listed}; give an id")
    meant = f"no segment is called {intent.mention!r}" if intent.mention else "no segment is named"
    return Targets(Status.NO_TARGET, (), f"{meant}; give its id or what it is called now")


def _named(phrase: str, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments called ``phrase``: exactly, else by noun ("mug" for "red mug")."""
    exact = tuple(s for s in segments if s.label.text == phrase)
    if exact:
        return exact
    words = set(phrase.split())
    return tuple(
        s
        for s in segments
        if s.label.text
        and words <= set(s.label.text.split())
        and _head(phrase) == _head(s.label.text)
    )


def _head(phrase: str) -> str:
    return phrase.split()[-1] if phrase.split() else ""


def mentioned(text: str, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments that a text speaks of: by whole name, else by noun."""
    plain = text.lower()

    def said(phrase: str) -> bool:
        return bool(phrase) and re.search(rf"\b{re.escape(phrase)}\b", plain) is not None

    whole = tuple(s for s in segments if said(s.label.text))
    return whole or tuple(s for s in segments if said(_head(s.label.text)))


def means_part(intent: Intent, targets: Sequence[Segment]) -> bool:
    """Return whether "remove the plate" means something in the targets' masks, not themselves."""
    if not intent.inside or not intent.mention:
        return False
    return len(_named(intent.mention, targets)) < len(targets)
