"""How alike two contacts are: a weight of evidence in bits with what it is made of (Fellegi and Sunter 1969). Pure.

Each comparison ends at one level of the table in `weights`; a field that either lacks says nothing. The weights add up
as if fields were independent, which is why what depends on one another (street and house, postcode and city) is one
comparison.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rapidfuzz.distance import OSA, JaroWinkler

from contacts.duplicate.names import are_forms_of_one_name
from contacts.duplicate.traits import Traits
from contacts.duplicate.weights import HOUSEHOLD, HOUSEHOLD_SAYS, LEVELS, THRESHOLD, Comparison, Level

#: Similarity (Jaro-Winkler) from which on names and streets differ by a slip, however long they are.
ALIKE: Final = 0.9
#: From so many characters on hardly two people have names in their e-mails that differ by a slip.
LONG: Final = 8
#: Last digits of a phone that are the number itself, whatever stands before them.
PHONE_END: Final = 8


class Evidence(NamedTuple):
    """What one comparison found."""

    comparison: Comparison
    level: str
    #: Bits.
    weight: float


class Verdict(NamedTuple):
    """Everything that speaks for and against two contacts being one person."""

    #: Bits, the sum of the weights.
    score: float
    #: In the order of the table.
    evidence: tuple[Evidence, ...]

    @property
    def is_likely(self) -> bool:
        """Whether it is worth keeping. Who shares an address and nothing else is in a group by it anyway."""
        if self.score < THRESHOLD:
            return False
        agreeing = [each for each in self.evidence if each.weight > 0]
        return len(agreeing) > 1 or agreeing[0].level != "same"


def says(comparison: str, level: str) -> str:
    """The evidence in words."""
    return TABLE[comparison, level].says if comparison != "household" else HOUSEHOLD_SAYS


TABLE: Final[dict[tuple[str, str], Level]] = {(level.comparison, level.level): level for level in LEVELS}


def _levels_of(comparison: Comparison) -> dict[str, Evidence]:
    return {
        each.level: Evidence(comparison, each.level, each.weight) for each in LEVELS if each.comparison == comparison
    }


_GIVEN: Final = _levels_of("given_name")
_FAMILY: Final = _levels_of("family_name")
_EMAIL: Final = _levels_of("email")
_PHONE: Final = _levels_of("phone")
_STREET: Final = _levels_of("street")
_PLACE: Final = _levels_of("place")
_BIRTH: Final = _levels_of("birth")
_SWAPPED: Final = _levels_of("name_order")["swapped"]
_STRANGERS: Final = [_GIVEN["different"], _FAMILY["different"]]
#: Names of e-mails that everybody has.
_ROLES: Final = frozenset(
    ("admin", "contact", "hello", "hi", "info", "kontakt", "mail", "me", "office", "post", "sales", "support", "team")
)
_NO_DIGITS: Final = str.maketrans("", "", "0123456789")


def judge(a: Traits, b: Traits) -> Verdict:
    """The same whichever of the two comes first."""
    found = _names(a, b)
    if a.email and b.email:
        found.append(_EMAIL[_email(a, b)])
    if a.phone and b.phone:
        found.append(_PHONE[_phone(a.phone, b.phone)])
    if a.street and b.street:
        found.append(_STREET[_street(a, b)])
    if (a.postcode and b.postcode) or (a.city and b.city):
        found.append(_PLACE[_place(a, b)])
    if a.birth and b.birth:
        found.append(_BIRTH[_birth(a.birth, b.birth)])
    score = sum([each.weight for each in found])
    # Nobody is shown why a score is too low, which those of most pairs are.
    if score >= THRESHOLD and _GIVEN["different"] in found and _BIRTH["same"] not in found:
        found += _household(found)
        score = sum([each.weight for each in found])
    return Verdict(round(score, 2), tuple(found))


def _household(found: list[Evidence]) -> list[Evidence]:
    shared = [each.weight for each in found if each.comparison in HOUSEHOLD and each.weight > 0]
    if len(shared) < 2:
        return []
    return [Evidence("household", "shared", round(max(shared) - sum(shared), 2))]


# -- names -------------------------------------------------------------------------------------------------------------


def _names(a: Traits, b: Traits) -> list[Evidence]:
    straight = _name_pair(a.given, b.given, a.family, b.family)
    if straight != _STRANGERS or not (_slip(a.given, b.family) and _slip(a.family, b.given)):
        return straight
    # Nobody knows which of the two stands the right way round.
    one = [*_name_pair(a.given, b.family, a.family, b.given), _SWAPPED]
    other = [*_name_pair(a.family, b.given, a.given, b.family), _SWAPPED]
    return max(one, other, key=lambda found: (sum(each.weight for each in found), found))


def _name_pair(given: str, other_given: str, family: str, other_family: str) -> list[Evidence]:
    found = []
    if given and other_given:
        found.append(_GIVEN[_given(given, other_given)])
    if family and other_family:
        found.append(_FAMILY[_family(family, other_family)])
    return found


def _given(a: str, b: str) -> str:
    if a == b:
        return "same"
    if are_forms_of_one_name(a, b):
        return "short_form"
    if _slip(a, b) or _share_first(a, b):
        return "close"
    if a[0] == b[0] and (len(a) == 1 or len(b) == 1):
        return "initial"
    return "different"


def _family(a: str, b: str) -> str:
    if a == b:
        return "same"
    return "close" if _slip(a, b) or _share_part(a, b) else "different"


def _share_first(a: str, b: str) -> bool:
    """`anna` and `anna maria`."""
    return " " in a + b and a.partition(" ")[0] == b.partition(" ")[0]


def _share_part(a: str, b: str) -> bool:
    """`miller` and `miller brown`; not `de`, `van` and the like."""
    return " " in a + b and any(len(part) > 3 for part in set(a.split()).intersection(b.split()))


def _slip(a: str, b: str) -> bool:
    """One letter wrong, missing, too many or in the place of the next, spaces aside; more of that in long words."""
    if a == b:
        return bool(a)
    # Of three letters only one too many or too few is a slip: `tim` and `tom` are two names.
    if min(len(a), len(b)) < 3 or max(len(a), len(b)) < 4:
        return False
    if OSA.distance(a, b, score_cutoff=1) <= 1:
        return True
    return JaroWinkler.similarity(a, b, score_cutoff=ALIKE) > 0 or a.replace(" ", "") == b.replace(" ", "")


# -- addresses ---------------------------------------------------------------------------------------------------------


def _email(a: Traits, b: Traits) -> str:
    if a.email == b.email:
        return "same"
    if a.mailbox == b.mailbox:
        return "same_mailbox"
    name, _, domain = a.mailbox.rpartition("@")
    other_name, _, other_domain = b.mailbox.rpartition("@")
    if name == other_name:
        if OSA.distance(domain, other_domain, score_cutoff=2) <= 2:
            return _close(name, other_name)
        return "different" if name in _ROLES else "same_name"
    if domain != other_domain:
        return "different"
    if name.translate(_NO_DIGITS) == other_name.translate(_NO_DIGITS):
        return "numbered"
    shorter = min(len(name), len(other_name))
    slips = 1 if shorter < 2 * LONG else 2
    if shorter > 3 and OSA.distance(name, other_name, score_cutoff=slips) <= slips:
        return _close(name, other_name)
    return "different"


def _close(name: str, other: str) -> str:
    return "close_long" if min(len(name), len(other)) >= LONG else "close"


def _phone(a: str, b: str) -> str:
    if a == b:
        return "same"
    if min(len(a), len(b)) >= PHONE_END and a[-PHONE_END:] == b[-PHONE_END:]:
        return "same_end"
    return "close" if OSA.distance(a, b, score_cutoff=1) <= 1 else "different"


def _street(a: Traits, b: Traits) -> str:
    same_house = a.house == b.house
    if a.street == b.street:
        return "same" if same_house else "same_street"
    if _slip(a.street, b.street):
        return "close" if same_house else "same_street"
    return "different"


def _place(a: Traits, b: Traits) -> str:
    if a.postcode and a.postcode == b.postcode:
        return "same" if a.city == b.city else "postcode"
    same_city = _slip(a.city, b.city)
    if a.postcode and b.postcode:
        near = len(a.postcode) > 3 and OSA.distance(a.postcode, b.postcode, score_cutoff=1) <= 1
        return "close" if near or same_city else "different"
    return "close" if same_city else "different"


def _birth(a: str, b: str) -> str:
    if a == b:
        return "same"
    if OSA.distance(a, b, score_cutoff=1) <= 1:
        return "close"
    # Day and month the other way round.
    return "close" if a[:4] == b[:4] and a[4:6] == b[6:] and a[6:] == b[4:6] else "different"
