"""Tells whether an English text gives a colour to a kind of thing, in whatever wording."""

from __future__ import annotations

import re

from rose_ros.data.tabletop.vocabulary import COLOURS, NOUNS
from rose_ros.data.words import plural

#: Every form of a noun -> the noun.
NOUN_FORMS = {form: noun for noun in NOUNS for form in (noun, plural(noun))}
#: Words that stand for a noun and take its colour.
STAND_INS = frozenset({"one", "ones", "object", "objects", "thing", "things", "item", "items"})
#: What may stand between a colour and the noun that it belongs to: other adjectives.
BETWEEN = frozenset(
    {*COLOURS, "and", "big", "small", "large", "little", "old", "new", "left", "right", "single"}
)
#: A stand-in is another thing than a noun that one of these divides from it: it lies elsewhere,
#: is a second one, or is meant in place of what was marked before.
RELATIONS = re.compile(r"\b(?:of|behind|and|from|without|with|not|than|marked)\b")
#: The verb, not the tin.
CAN = re.compile(r"\bcan (?=see\b)")


def said_pairs(text: str) -> set[tuple[str, str]]:
    """List the (colour, noun) pairs that a text speaks of as one thing.

    A colour belongs to the noun that follows it ("the red mug", "red and old mugs"). Where none
    follows ("a mug that is red", "mug, red", "is the mug red") it belongs to every noun of the
    text: rather one pair too many. Where a stand-in follows ("the mug, the red one", "the red
    thing, a mug") it belongs to every noun on either side that no relation divides from it.
    """
    words = re.findall(r"[a-z]+|[.,;:]", CAN.sub("", text.lower()))
    pairs: set[tuple[str, str]] = set()
    for place, colour in enumerate(words):
        if colour not in COLOURS:
            continue
        head = place + 1
        while head < len(words) and words[head] in BETWEEN:
            head += 1
        following = words[head] if head < len(words) else ""
        if following in NOUN_FORMS:
            pairs.add((colour, NOUN_FORMS[following]))
            continue
        nouns = [(i, NOUN_FORMS[word]) for i, word in enumerate(words) if word in NOUN_FORMS]
        for other, noun in nouns:
            divided = RELATIONS.search(" ".join(words[min(other, place) : max(other, head)]))
            if following not in STAND_INS or not divided:
                pairs.add((colour, noun))
    return pairs
