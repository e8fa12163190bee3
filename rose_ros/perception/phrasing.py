"""The patterns of planner sentences that rules understand; all match lower-case text."""

from __future__ import annotations

import re

_IDS = (
    r"(?:(?:segments?|objects?|instances?|ids?|numbers?)\s*)?"
    r"#?(?P<ids>\d+(?:\s*(?:,\s*and|,|and|&)\s*#?\d+)*)"
)
_PRONOUN = (
    r"(?:that|this|it|they|them|these|those)(?: one| ones| thing| object| segment| spot| place)?"
)
_THE_OLD = r"(?:the|that|this) (?P<old>[^,;:.]+?)"
_SUBJECT = rf"(?:{_IDS}|{_PRONOUN}|{_THE_OLD})"
_IS = r"(?:['\u2019]s| is| are| was)"
_HEDGE = r"(?: (?:actually|really|in fact|clearly|obviously|rather|just|only))*"
_NOT = r"(?:n['\u2019]t| not)"
_NAME = r"(?P<name>.+)"
_OPEN, _CLOSE = "[\"'“\u2018«]", "[\"'”\u2019»]"
_QUOTED_NAME = rf"(?P<name>{_OPEN}.+)"
_A_NAME = r"(?P<name>an? .+)"
_CALL = r"(?:call|name|label|rename|relabel)"
_CALLED = r"(?:called|named|labelled|labeled)"


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


ARTICLE = re.compile(r"^(?:an?|the)\s+")
#: Punctuation and politeness that carry nothing.
TRAILING = re.compile(r"(?:\s*,?\s*\bplease)?[\s.!?;,:]*$")
LEAD_IN = re.compile(
    r"^(?:(?:no|nope|yes|sorry|wrong|wrong name|wrong label|well|hey|but|and)\s*[,;:.!]+\s*"
    r"|(?:please|actually|no|nope|well)\s+(?=(?:that|this|it|the|\d)\b))*"
)
QUOTED = re.compile(rf"(?:an? |the )?{_OPEN}(?P<inside>[^\"”»]+){_CLOSE}")
#: "a bowl, not a mug"
CONTRAST = re.compile(r"(?P<name>[^,]+?),? (?:and |but )?not (?:an? |the )?(?P<old>[^,]+)")
IDS_ANYWHERE = re.compile(
    r"(?:\b(?:segments?|objects?|instances?|ids?|numbers?)\s*#?|#)"
    r"(?P<ids>\d+(?:\s*(?:,\s*and|,|and|&)\s*#?\d+)*)"
    r"|^(?P<first>\d+)(?=\s*(?::|,|is\b|are\b|should\b|needs?\b|has\b))"
)
ID_PREFIX = re.compile(rf"^{_IDS}\s*[:,]\s*(?=\S)", re.IGNORECASE)

#: What speaks of the whole outline of a mask, anywhere in a text.
OUTLINE = re.compile(
    r"\b(?:edges?|outlines?|contours?|borders?|boundar(?:y|ies)|margins?|rims?|silhouette"
    r"|tight(?:er|en|ly)?|loose(?:r|n)?|rough|jagged|blocky|smooth(?:er)?|sharp(?:er)?"
    r"|clean(?:er)?|precise(?:ly)?|exact(?:ly)?|accurate(?:ly)?|fuzzy|(?:grow|shrink)(?! it to)"
    r"|wider|narrower|closer|closely|hug|polish|wobbl\w+|the outside|past the object|space around"
    r"|all around|a (?:bit|little)|slightly)\b"
)

#: What asks for something else to be left out, or to be taken instead.
OTHER = re.compile(
    r"\b(?:without|exclud\w+|exclude|remov\w+|drop|discard|leave out|instead|something else"
    r"|(?<!do )not|(?:does|do)n['\u2019]t belong|you (?:also )?(?:took|included)|i meant|i wanted"
    r"|take\b.+\b(?:out|away|off)|switch to|pick|rather|stop before|covers?)\b"
    r"(?!.*\b(?:except|but)\b)"
)
#: What asks for another thing to be meant than was, and what speaks of the mask itself after all.
MOVE = re.compile(
    r"^(?:no|nope|wrong|sorry)\b"
    r"|\b(?:instead|rather|i (?:meant|mean|want|wanted|asked for)|not (?:that|this|it|what)"
    r"|wrong (?:one|object|thing|item|segment)|(?:correct|right) (?:one|object|thing|item)"
    r"|is the one|(?:switch|go|move|jump|change)(?: it| over)* to|choose|pick|select|use"
    r"|(?:should(?: have)?|have) (?:be|been|taken|chosen|picked))\b"
)
STAY = re.compile(
    r"\b(?:without|exclud\w+|exclude|remov\w+|drop|discard|leave|left out|out|off|away|belong\w*"
    r"|includ\w+|include|also|too|as well|covers?|only|just|merge|join|split)\b"
)
#: What points to the segment that a correction is about.
IT = re.compile(r"(?:it|this|that|them)(?: (?:one|thing|object))?|the (?:marked|current) one")

_PARTS = (
    r"(?:handle|lid|cap|cover|spout|base|stem|leg|head|shaft|jaw|seat|shade|flame|page|neck|body"
    r"|knob|wick|arm|blade|tip|button|lens|screen|wheel|cord|cable|string|strap|label|logo"
    r"|sticker)s?"
)
#: What a text calls a part of something.
PART = re.compile(rf"\b(?:the|its|their|an?) (?P<part>{_PARTS})\b")
_ALONE = (
    r"(?:only|just|but|except(?: for)?|isolate|extract|pick out|cut out|show me|give me|get me"
    r"|want(?: is)?|need|meant|where (?:is|are)|mark|segment|find|keep|leave|interested in|focus on"
    r"|not the (?:whole|entire) [\w ]+,|(?:restrict|limit|reduce|narrow|shrink|crop|confine|cut)"
    r"(?: it| this| that| the mask)?(?: down)? to)"
)
#: Wants one part of a segment and nothing else of it.
PART_ALONE = re.compile(
    rf"\b{_ALONE} (?:only |just )?(?:the|its|their) (?P<part>{_PARTS})\b"
    rf"|\b(?:the|its|their) (?P<part_of>{_PARTS})(?: of (?:it|the [\w ]+))?,?"
    r" (?:only|alone|and nothing else|is (?:all|what) i (?:want|need|meant))\b"
    rf"|^(?:the|its|the [\w ]+['\u2019]s) (?P<bare>{_PARTS})(?: of (?:it|the [\w ]+))?,?"
    r"(?: please)?[.!]?$"
)
#: Says of a part that it is to be in the mask beside the rest, or not to be in it.
NOT_ALONE = re.compile(
    r"\b(?:includ\w+|include|add|also|too|as well|missing|forg[eo]t\w*|left (?:out|off)|extend"
    r"|cover\w*|belongs?|without|exclud\w+|exclude|cut off|complete|(?<!not the )(?:whole|entire)"
    r"|all of|rest of|more than|more to|not (?:only|just)|you (?:only|just)|(?:that|it) is only"
    r"|correct|good|right|fine)\b"
)
#: Says that all of it is meant, whatever part is spoken of as well.
WHOLE = re.compile(
    r"\b(?:whole|entire|complete(?:ly)?|full|fully|all|everything that|rest|more)\b"
    r"|\bnot (?:only|just)\b|\byou (?:only|just)\b|\bthat is only\b"
)
#: Parts, sides and shadows: what a text may speak of that is no thing of its own.
NO_THING = re.compile(
    rf"{_PARTS}|(?:foot|feet|rim|edge|border|outline|contour|mask|boundary|corner|surface|top|bottom"
    r"|left|right|front|back|rear|side|middle|cent(?:er|re)|inside|outside|part|piece|bit|half"
    r"|section|end|area|region|rest|remainder|whole|other|shadow|reflection|highlight|glare"
    r"|background|foreground|surrounding|gap|hole|segment|way|too|much|more|less)s?"
)

UNDO = re.compile(
    r"(?:please )?(?:undo|go back|revert|roll back|take (?:it|that) back)"
    r"(?: (?:it|that|this|(?:the |my )?last(?: one| change| correction| refinement)?"
    r"|(?:the )?(?:change|correction|refinement)(?: (?:of|to|on))?))?"
    rf"(?: (?:of |to |on )?{_IDS})?"
)

_GOOD = (
    r"(?:right|correct|good|fine|perfect|ok|okay|great|it|exact|what i (?:meant|wanted|want|need))"
)
_PRAISE = (
    r"(?:yes|yeah|ok|okay|good|great|fine|perfect|exactly|correct|right|thanks|thank you|nice"
    r"|nice work|nice job|well done|good job|spot on|i agree|agreed|all good|confirmed"
    rf"|(?:yes )?(?:{_PRONOUN}|the (?:mask|name|label|outline|segment)|everything"
    rf"|(?:segment )?#?\d+)(?:['\u2019]s| is| are| looks?) {_GOOD}"
    rf"|{_PRONOUN}(?:['\u2019]s| is| are) an? (?:good|perfect|great|fine|nice)"
    r" (?:mask|segment|outline|one)"
    rf"|(?:yes )?looks {_GOOD}"
    r"|(?:yes )?(?:keep|leave) (?:it|that|this)(?: one)?(?: like (?:that|this)| as it is| as is)?"
    r"|no changes?(?: is| are)? needed|nothing to (?:fix|change|correct))"
)
_YES_THE = r"(?:yes|right|correct|exactly), (?:that|this|it)(?:['\u2019]s| is) the [\w\- ]+"
CONFIRM = re.compile(rf"{_YES_THE}|{_PRAISE}(?:\s*[,;.!]+\s*{_PRAISE})*")

#: What is no object, said of a segment.
_GHOST = (
    r"(?:(?:an?|the|some|its|my) )?(?:\w+ )?(?:reflection|shadow|mirror image|mistake|error"
    r"|false alarm|false positive|false detection|ghost|artefact|artifact|hallucination|highlight"
    r"|glare|illusion)"
)
_GHOST_TAIL = r"(?:,.*| (?:of|on|in|from|there|here|only|and)\b.*)?"
_NO_THING = r"(?:an?|any|a real|real|no|not an?|not a real) (?:object|thing|segment)"
_OBJECT = rf"(?:{_IDS}|{_PRONOUN}|(?:the|an?) (?P<old>[\w\-'\u2019 ]+?))(?: again)?"
_PLACE = r"(?:there|here|at (?:that|this) (?:place|spot)|in (?:that|this) (?:place|spot))"

REMOVE = _compile(
    r"(?:you (?:can|should) )?(?:remove|delete|drop|discard|ignore|forget|hide|erase|get rid of)"
    rf" (?:about )?(?!.*\b(?:from|in|off) ){_OBJECT}",
    rf"{_SUBJECT}{_IS}{_HEDGE} {_GHOST}{_GHOST_TAIL}",
    rf"{_SUBJECT}{_IS}{_HEDGE} (?:nothing|(?:the |some )?background|empty|not there|not real)"
    rf"(?: {_PLACE})?",
    rf"{_SUBJECT}(?:{_IS}{_NOT}|{_IS}) {_NO_THING}(?: at all)?(?:,.*)?",
    rf"{_SUBJECT} (?:does|do)(?:n['\u2019]t| not) exist",
    rf"(?:(?:there|here)(?:['\u2019]s| is| are)|i see|i can see) nothing(?: {_PLACE})?(?: at all)?",
    rf"nothing(?: is)? {_PLACE}",
    rf"(?:(?:there|here)(?:['\u2019]s| is| are) )?no (?:such thing|object|thing)s?(?: at all)?"
    rf"(?: {_PLACE})?",
    rf"(?:there|here)(?:['\u2019]s| is| are) no (?P<old>[\w\-'\u2019 ]+?)(?: at all)?"
    rf"(?: {_PLACE})?",
    r"you see something that is not there",
    r"(?:a )?false (?:alarm|positive|detection)",
)

_ORDER = rf"(?:you should |please )?{_CALL}"
_OF_WHICH = rf"(?: (?:of|for) (?:it|{_IDS}|the (?P<old>[\w\- ]+?)))?"
_OLD_NAME = r"(?:an?|the) (?P<old>[^,;:.]+?)"
_SOME_NAME = r"(?:an?|the) [^,;:.]+?"
_INSTEAD = rf"(?: but|[,;:.](?: but)?)(?: {_PRONOUN}{_IS}{_HEDGE})?"

#: Forms that can only be about a name.
_RENAME_EXACT = _compile(
    rf"{_ORDER} (?:it|that|this|them|{_IDS})(?: (?:to|as|into))?:? {_NAME}",
    rf"{_ORDER} the (?P<old>[^,;:]+?) (?:to|as|into) {_NAME}",
    rf"{_ORDER} the (?P<old>[^,;:]+?) (?P<name>an? .+|{_OPEN}.+)",
    rf"(?:the|its) (?:right |correct |proper |real |new )?(?:name|label){_OF_WHICH}"
    rf"(?: is| should be) {_NAME}",
    rf"change (?:the|its) (?:name|label){_OF_WHICH} to {_NAME}",
    rf"(?:new )?(?:name|label): {_NAME}",
    rf"change {_IDS} (?:to|into) {_NAME}",
    rf"{_SUBJECT}{_IS}{_HEDGE} {_CALLED} {_NAME}",
    rf"{_SUBJECT} should be {_CALLED} {_NAME}",
    rf"{_SUBJECT}(?:{_IS}| should be){_HEDGE} {_QUOTED_NAME}",
)
#: Forms that can also be about a mask ("that is a bit too big").
_RENAME_LOOSE = _compile(
    rf"{_PRONOUN}{_IS}{_NOT}{_HEDGE} {_OLD_NAME}{_INSTEAD} {_A_NAME}",
    rf"{_IDS}{_IS}{_NOT}{_HEDGE} {_SOME_NAME}{_INSTEAD} {_A_NAME}",
    rf"not {_OLD_NAME}(?: but|,(?: but)?) {_A_NAME}",
    rf"{_SUBJECT}(?:{_IS}| should be){_HEDGE} {_A_NAME}",
)
#: (pattern, whether its name must look like a plain noun phrase).
RENAME = tuple((p, False) for p in _RENAME_EXACT) + tuple((p, True) for p in _RENAME_LOOSE)
#: Words that start no name: "a bit too small", "a part of the mug", "a single mug".
_NO_NAME = frozenset(
    (
        *("bit", "little", "lot", "few", "couple", "single", "part", "piece", "portion"),
        *("fragment", "half", "different", "separate", "good", "bad", "better", "worse"),
        *("wrong", "right", "correct", "mask", "segment", "outline", "complete", "whole"),
        *("bigger", "smaller", "larger", "tighter", "wider"),
    )
)
_NO_NAME_WORDS = frozenset(
    ("is", "are", "was", "has", "have", "that", "which", "include", "without")
)
#: A loose form with a longer name is a sentence about the mask.
_MAX_NAME_WORDS = 6


def is_noun_phrase(name: str) -> bool:
    """Return whether an unquoted name can be one: few words, no clause, no measure of a mask."""
    words = ARTICLE.sub("", name.strip()).split()
    return (
        0 < len(words) <= _MAX_NAME_WORDS
        and words[0] not in _NO_NAME
        and not _NO_NAME_WORDS.intersection(words)
        and not re.search(r"[,;:.!?]\s", name)
    )


#: Says that something is wrong, not what.
UNCLEAR = re.compile(
    r"(?:no|nope|wrong|bad|incorrect)"
    rf"|(?:that|this|it|{_IDS}){_IS} (?:wrong|bad|incorrect|not right)"
    rf"|{_CALL} (?:it|that|this|#?\d+)"
    rf"|(?:{_PRONOUN}|(?:segment )?#?\d+){_IS}{_NOT} an? (?!single|whole|complete)[\w\- ]+"
)

_THING = r"(?P<thing>(?:the|an?|another|some|my|your|that|this|one)\b.+?)"
ADD = _compile(
    r"(?:you (?:have )?)?(?:also )?(?:missed|forgot|overlooked|left out|failed to notice"
    rf"|did(?: not|n['\u2019]t) (?:see|notice|find|mark)) {_THING}",
    rf"(?:look again, )?there(?:['\u2019]s| is) (?:also )?{_THING}(?: too| as well)?",
    rf"(?:do not|don['\u2019]t) forget {_THING}",
    rf"(?:please )?add {_THING}(?: too| as well)?(?<! it)",
    rf"(?:what|how) about {_THING}",
    rf"(?:please )?(?:include|mark|find|segment) {_THING} (?:too|as well|also)",
    rf"also {_THING}",
    rf"i (?:can )?(?:also )?see {_THING} (?:too|as well|also)",
    rf"one is missing: {_THING}",
    rf"{_THING} (?:is missing|(?:is|was|has|has been|was not|is not)? ?not (?:been )?"
    r"(?:marked|found|segmented)|should be there(?: too| as well)?)",
)
#: "the handle of the mug"; "left of the mug" is a place, not a part.
PART_OF = re.compile(
    r"\b(?!left|right|front|top|side|outside|inside|out|because|instead|of)\w+ "
    r"(?:of|to|from) (?:the|that|this) (?P<whole>[\w\-]+(?: [\w\-]+)?)$"
)
#: The result is several things, and those words say that it is one.
SEVERAL = re.compile(
    r"\b(?:(?<!do not )split|divide|apart|separate(?! pieces)|each of|you merged|break it up"
    r"|one (?:mask|segment) (?:for each|per)|(?:each|every) \w+ (?:needs )?its own|do not mix"
    r"|tell (?:the|them) .*\bfrom|cut between|is another object than|do not belong together"
    r"|not a single|not the same as|more than one|one is .* one is|that is the .* and the"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|several|different) [a-z]+)\b"
)
ONE = re.compile(r"\b(?:merge (?:it|them|the)|join|combine|glue|connect|are the same|into one)\b")
