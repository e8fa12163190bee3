"""What a planner's sentence asks for, and which segment it means."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_ros.data.phrases import HELD_OUT, TRAINING
from rose_ros.errors import RequestError
from rose_ros.perception.refinement import (
    Kind,
    choose_targets,
    clean_text,
    means_part,
    normalise_name,
    parse,
)
from rose_ros.perception.segments import Label, LabelSource, RunMask, Segment, Status

RENAMES = [
    # text, name, ids, what it is called now
    ("that is a bowl, not a mug", "bowl", (), "mug"),
    ("That's a bowl, not a mug.", "bowl", (), "mug"),
    ("it is not a mug, it is a bowl", "bowl", (), "mug"),
    ("that is not a mug but a bowl", "bowl", (), "mug"),
    ("not a mug, a bowl", "bowl", (), "mug"),
    ("the red mug is a cup", "cup", (), "red mug"),
    ("the red mug is actually a cup", "cup", (), "red mug"),
    ("rename the red mug to cup", "cup", (), "red mug"),
    ("call the red mug a cup", "cup", (), "red mug"),
    ("segment 4 is a funnel", "funnel", (4,), ""),
    ("4 is a ladle", "ladle", (4,), ""),
    ("Segment #4 is an oil can!", "oil can", (4,), ""),
    ("rename 3 to salt and pepper shaker", "salt and pepper shaker", (3,), ""),
    ("rename segments 3 and 4 to bolt", "bolt", (3, 4), ""),
    ("change 4 to a funnel", "funnel", (4,), ""),
    ("the name of segment 4 is funnel", "funnel", (4,), ""),
    ("segment 4 should be called funnel", "funnel", (4,), ""),
    ("segment 4 is not a mug but a bowl", "bowl", (4,), ""),
    ("call it The Thing", "thing", (), ""),
    ('call it "The Thing"', "the thing", (), ""),
    ("name it \u201c3/8 socket, long\u201d please", "3/8 socket, long", (), ""),
    ("call it Bob\u2019s caf\u00e9-Tasse", "bob\u2019s caf\u00e9-tasse", (), ""),
    ("no, it's a bowl", "bowl", (), ""),
    ("please call it M8x20", "m8x20", (), ""),
    ("it is a pair of scissors", "pair of scissors", (), ""),
    ("this is a shadow box", "shadow box", (), ""),
]


@pytest.mark.parametrize(("text", "name", "ids", "mention"), RENAMES)
def test_renames(text: str, name: str, ids: tuple[int, ...], mention: str) -> None:
    intent = parse(text)
    assert (intent.kind, intent.name) == (Kind.RENAME, name)
    assert (intent.ids, intent.mention) == (ids, mention)


REMOVES = [
    ("remove 7", (7,), ""),
    ("remove segments 3, 4 and 5", (3, 4, 5), ""),
    ("ignore segment 3", (3,), ""),
    ("delete it", (), ""),
    ("there is nothing there", (), ""),
    ("that is a reflection", (), ""),
    ("that's only a shadow of the lamp", (), ""),
    ("segment 5 is a reflection", (5,), ""),
    ("the red mug is a reflection", (), "red mug"),
    ("remove the red mug", (), "red mug"),
    ("there is no mug", (), "mug"),
    ("False alarm!", (), ""),
]


@pytest.mark.parametrize(("text", "ids", "mention"), REMOVES)
def test_removals(text: str, ids: tuple[int, ...], mention: str) -> None:
    intent = parse(text)
    assert (intent.kind, intent.ids, intent.mention) == (Kind.REMOVE, ids, mention)


@pytest.mark.parametrize(
    ("text", "kind", "ids"),
    [
        ("undo", Kind.UNDO, ()),
        ("Undo that, please.", Kind.UNDO, ()),
        ("undo the last correction", Kind.UNDO, ()),
        ("undo segment 3", Kind.UNDO, (3,)),
        ("go back", Kind.UNDO, ()),
        ("good", Kind.CONFIRM, ()),
        ("yes, that is right", Kind.CONFIRM, ()),
        ("segment 3 is fine", Kind.CONFIRM, (3,)),
        ("that is a good mask", Kind.CONFIRM, ()),
        ("wrong", Kind.UNCLEAR, ()),
        ("that isn't a mug", Kind.UNCLEAR, ()),
        ("rename 3", Kind.UNCLEAR, ()),
        ("?!", Kind.UNCLEAR, ()),
    ],
)
def test_undo_confirm_and_what_says_nothing(text: str, kind: Kind, ids: tuple[int, ...]) -> None:
    intent = parse(text)
    assert (intent.kind, intent.ids) == (kind, ids)


@pytest.mark.parametrize(
    ("text", "told", "ids", "mention"),
    [
        ("include the handle", "include the handle", (), ""),
        ("segment 4: include the handle", "include the handle", (4,), ""),
        ("#4, Include the Handle.", "Include the Handle.", (4,), ""),
        ("remove the handle from the mug", "remove the handle from the mug", (), "mug"),
        ("you missed the handle of the mug", "you missed the handle of the mug", (), "mug"),
        ("that is a bit too small", "that is a bit too small", (), ""),
        ("that is one drawer", "that is one drawer", (), ""),
        ("it should be the red mug", "it should be the red mug", (), ""),
        ("that is a mug, include the handle", "that is a mug, include the handle", (), ""),
    ],
)
def test_the_rest_speaks_of_a_mask(
    text: str, told: str, ids: tuple[int, ...], mention: str
) -> None:
    intent = parse(text)
    assert (intent.kind, intent.text, intent.ids) == (Kind.MASK, told, ids)
    assert intent.mention == mention


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("you missed the screwdriver on the left", "the screwdriver on the left"),
        ("you missed the mug left of the kettle", "the mug left of the kettle"),
        ("there is also a spoon behind the bowl", "a spoon behind the bowl"),
        ("what about the blue ball?", "the blue ball"),
    ],
)
def test_what_was_missed_is_looked_for_unless_a_segment_is_given(text: str, thing: str) -> None:
    assert parse(text).kind is Kind.ADD
    assert parse(text).name == thing
    assert parse(text, targeted=True).kind is Kind.MASK


SLOTS = {
    "target": "the blue bowl",
    "noun": "mug",
    "other": "the green plate",
    "part": "handle",
    "a_part": "a handle",
    "is_part": "is",
    "s_part": "s",
    "side": "left",
    "count": "two",
    "things": "mugs",
    "first": "the red mug",
    "second": "the bowl",
    "bare": "funnel",
}
EXACT = {"confirm": Kind.CONFIRM, "false_alarm": Kind.REMOVE, "wrong_name": Kind.RENAME}


@pytest.mark.parametrize("table", [TRAINING, HELD_OUT], ids=["training", "held out"])
def test_every_phrasing_goes_where_the_model_was_or_was_not_trained_for_it(
    table: dict[str, tuple[str, ...]],
) -> None:
    for kind, phrasings in table.items():
        slots = {**SLOTS, "other": "a funnel"} if kind == "wrong_name" else SLOTS
        for phrasing in phrasings:
            text = phrasing.format(**slots)
            for said in (text, text[0].upper() + text[1:] + "."):
                intent = parse(said, targeted=kind != "missed")
                expected = Kind.ADD if kind == "missed" else EXACT.get(kind, Kind.MASK)
                assert intent.kind is expected, (kind, said)
                assert intent.several == kind.startswith("split"), (kind, said)
                if kind == "wrong_name":
                    assert intent.name == "funnel", said
                if kind == "missed":
                    assert intent.name == "the blue bowl", said


@pytest.mark.parametrize("text", ["", "   ", "\n\t\x00", "a" * 513, "\u00fc" * 257])
def test_texts_that_are_no_request(text: str) -> None:
    with pytest.raises(RequestError, match="text"):
        clean_text(text)


def test_control_characters_and_lines_go() -> None:
    assert clean_text(" call it\n\x1b[31m a\u202emug\x00 ") == "call it [31m a mug"
    assert clean_text("a" * 512) == "a" * 512
    assert clean_text("broken \ud800 half") == "broken half"


@pytest.mark.parametrize("raw", ["", "  ", " .!", "x" * 129, "\u00fc" * 65])
def test_names_that_are_none(raw: str) -> None:
    with pytest.raises(RequestError, match="name"):
        normalise_name(raw)


def test_an_over_long_name_is_refused_not_cut() -> None:
    with pytest.raises(RequestError, match="allowed are 1 to 128"):
        parse("call it " + "x" * 200)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_rules(text: str) -> None:
    try:
        intent = parse(clean_text(text))
    except RequestError:
        return
    assert isinstance(intent.kind, Kind)
    assert len(intent.name.encode()) <= 512


@pytest.mark.parametrize(
    "text",
    [
        *("the " * 128, "that is a " + "mug but " * 60, "not a " + "b, " * 160, "is " * 170),
        *("remove the " + "in from " * 60, "yes, " * 100, "undo " * 100, "1 and " * 85),
        *("the a is not " * 39, "\"'" * 256, "you missed the " + "too " * 120),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.perf_counter()
    with contextlib.suppress(RequestError):
        parse(text[:512])
    assert time.perf_counter() - start < 2.0


def segment(segment_id: int, name: str) -> Segment:
    return Segment(
        id=segment_id,
        label=Label(name, 0.9),
        alternatives=(),
        label_source=LabelSource.FROM_MODEL,
        revision=0,
        score=0.9,
        mask_quality=0.9,
        mask=RunMask(0, 0, 1, 1, np.array([0, 1], np.uint32)),
        area=1,
        anchor=(0.0, 0.0),
        truncated=True,
        embedding=np.zeros(4, np.float32),
    )


VIEW = [segment(1, "red mug"), segment(2, "blue mug"), segment(3, "bowl"), segment(7, "plate")]


@pytest.mark.parametrize(
    ("text", "requested", "status", "ids"),
    [
        ("that is a cup", (2,), Status.OK, (2,)),
        ("that is a cup, not a bowl", (2,), Status.OK, (2,)),
        ("7 is a tray", (), Status.OK, (7,)),
        ("that is a tray, not a plate", (), Status.OK, (7,)),
        ("the red mug is a cup", (), Status.OK, (1,)),
        ("that is a cup, not a mug", (), Status.AMBIGUOUS, (1, 2)),
        ("that is a cup, not a kettle", (), Status.NO_TARGET, ()),
        ("that is a cup", (), Status.NO_TARGET, ()),
        ("9 is a cup", (), Status.NO_TARGET, ()),
        ("that is a cup", (1, 9), Status.NO_TARGET, ()),
        ("include the handle of the red mug", (), Status.OK, (1,)),
        ("the bowl is cut off on the left", (), Status.OK, (3,)),
        ("the red mug: include the handle", (), Status.OK, (1,)),
        ("the mug is cut off", (), Status.AMBIGUOUS, (1, 2)),
        ("include the handle", (), Status.NO_TARGET, ()),
        ("the mugs are fine but tighter", (), Status.NO_TARGET, ()),
        ("remove the plate", (), Status.OK, (7,)),
        ("remove segments 1 and 3", (), Status.OK, (1, 3)),
    ],
)
def test_which_segment_is_meant(
    text: str, requested: tuple[int, ...], status: Status, ids: tuple[int, ...]
) -> None:
    targets = choose_targets(parse(text, targeted=bool(requested)), requested, VIEW)
    assert targets.status is status
    assert tuple(s.id for s in targets.segments) == ids
    assert targets.message or status is Status.OK


def test_removing_something_in_a_mask_is_not_removing_the_segment() -> None:
    assert means_part(parse("remove the handle", targeted=True), VIEW[:1])
    assert not means_part(parse("remove the mug", targeted=True), VIEW[:1])
    assert not means_part(parse("there is no cup", targeted=True), VIEW[:1])
