"""What each agreement and disagreement is worth as evidence that two contacts are one person: the one table, no code.

`m` is how often a level is seen between two contacts of the same person who both have the field, `u` how often between
two of different people. A level is worth log2(m / u): +3 makes a match eight times as likely as it was before. The
levels of one comparison exclude one another and add up to one, so that a lone level says what the others leave over.

Where the figures come from: `decisions/0020-likely-duplicates-are-weighed.md`.
"""

from __future__ import annotations

from math import log2
from typing import Final, Literal, NamedTuple, TypeAlias

Comparison: TypeAlias = Literal[
    "given_name", "family_name", "name_order", "email", "phone", "street", "place", "birth", "household"
]


class Level(NamedTuple):
    """One outcome of a comparison."""

    comparison: Comparison
    level: str
    m: float
    u: float
    #: In words, for whoever decides about the pair.
    says: str

    @property
    def weight(self) -> float:
        """Bits."""
        return round(log2(self.m / self.u), 2)


#: Pairs worth less than this many bits are not kept.
THRESHOLD: Final = 14.0

LEVELS: Final = (
    Level("given_name", "same", 0.68, 0.008, "the same first name"),
    Level("given_name", "short_form", 0.03, 0.002, "first names that can be forms of one name"),
    Level("given_name", "close", 0.16, 0.004, "first names that differ by a slip"),
    Level("given_name", "initial", 0.02, 0.012, "a first name and its initial"),
    Level("given_name", "different", 0.11, 0.974, "different first names"),
    Level("family_name", "same", 0.73, 0.003, "the same last name"),
    Level("family_name", "close", 0.18, 0.003, "last names that differ by a slip"),
    Level("family_name", "different", 0.09, 0.994, "different last names"),
    Level("name_order", "swapped", 0.04, 0.5, "first and last name stand the other way round"),
    Level("email", "same", 0.60, 0.00001, "the same e-mail"),
    Level("email", "same_mailbox", 0.05, 0.000001, "e-mails that lead to one mailbox"),
    Level("email", "same_name", 0.10, 0.0004, "the same name at another e-mail provider"),
    Level("email", "close_long", 0.07, 0.000004, "long e-mails that differ by a slip"),
    Level("email", "close", 0.03, 0.0002, "e-mails that differ by a slip"),
    Level("email", "numbered", 0.02, 0.02, "e-mails that differ in a number alone, as those of namesakes do"),
    Level("email", "different", 0.13, 0.979385, "different e-mails"),
    Level("phone", "same", 0.65, 0.00002, "the same phone"),
    Level("phone", "same_end", 0.06, 0.00002, "phones with the same last eight digits"),
    Level("phone", "close", 0.09, 0.0002, "phones that differ in one digit or in the order of two"),
    Level("phone", "different", 0.20, 0.99976, "different phones"),
    Level("street", "same", 0.52, 0.0002, "the same street and house number"),
    Level("street", "close", 0.16, 0.0002, "streets that differ by a slip, and the same house number"),
    Level("street", "same_street", 0.13, 0.003, "the same street"),
    Level("street", "different", 0.19, 0.9966, "different streets"),
    Level("place", "same", 0.63, 0.004, "the same postcode and city"),
    Level("place", "postcode", 0.21, 0.002, "the same postcode"),
    Level("place", "close", 0.13, 0.014, "the same city, or postcodes that differ by a slip"),
    Level("place", "different", 0.03, 0.98, "different postcodes and cities"),
    Level("birth", "same", 0.93, 0.0001, "the same day of birth"),
    Level("birth", "close", 0.03, 0.0009, "days of birth that differ by a slip"),
    Level("birth", "different", 0.04, 0.999, "different days of birth"),
)
#: What people of one household share. Where first names differ and no day of birth says that it is one person all the
#: same, only the weightiest of these counts; what the others add is taken off again as evidence of a `household`.
HOUSEHOLD: Final[frozenset[Comparison]] = frozenset({"family_name", "phone", "street", "place"})
HOUSEHOLD_SAYS: Final = "different first names: what a household shares counts once"


def shown_from(contacts: int) -> float:
    """The score from which on pairs are shown among so many contacts.

    A contact is compared, in effect, with all others. That one of them agrees as well as this by chance is to be less
    likely than not, so evidence has to outweigh odds of one to as many as there are.
    """
    return round(max(THRESHOLD, log2(max(1, contacts))), 2)
