"""The folded form in which texts are compared, sorted and searched: case and accents ignored. Never shown to anybody.

Stored next to every text that can be searched or sorted, and applied to what people type, so both sides agree whatever
the database's collation is. Changing a rule means a new version of every read model that stores folded text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Letters that carry their mark inside, so that decomposing leaves them whole. `ß` becomes `ss` by case folding.
_PLAIN: Final = str.maketrans(
    {
        "æ": "ae",
        "ð": "d",
        "ø": "o",
        "þ": "th",
        "đ": "d",
        "ħ": "h",
        "ı": "i",
        "ł": "l",
        "ŋ": "n",
        "œ": "oe",
        "ŧ": "t",
        "ə": "e",
        "ɖ": "d",
        "ɓ": "b",
        "ɗ": "d",
        "ƙ": "k",
        "ƴ": "y",
        # One apostrophe (and what people type for it), one hyphen.
        "\u02b9": "'",
        "\u02bb": "'",
        "\u02bc": "'",
        "\u2018": "'",
        "\u2019": "'",
        "`": "'",
        "\u2010": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2212": "-",
        # Arabic stretching carries no sound.
        "\u0640": None,
        # Soft hyphen, zero-width space and joiners, byte order mark: nobody can see or type them.
        "\u00ad": None,
        "\u200b": None,
        "\u200c": None,
        "\u200d": None,
        "\u2060": None,
        "\ufeff": None,
    }
)
#: Accents of Latin, Greek and Cyrillic, Hebrew points, Arabic vowel signs and hamza. Not the marks of Japanese, Indic
#: and Thai scripts, which make other letters rather than accented ones.
_MARKS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def fold(text: str) -> str:
    """`Łódź` and `LODZ` give `lodz`, `Straße` gives `strasse`; idempotent. Keeps white space and punctuation."""
    if text.isascii():
        return text.lower().replace("`", "'")
    # The acute accent that stands alone would decompose into a space and a mark.
    decomposed = unicodedata.normalize("NFKD", text.replace("\u00b4", "'"))
    plain = _MARKS.sub("", decomposed)
    # Most accented names are plain Latin underneath. Of the marks only the iota subscript folds into a letter.
    if plain.isascii() and "\u0345" not in decomposed:
        return plain.lower().replace("`", "'")
    # Case folding can set marks free (`İ`) and needs decomposed input to be complete, hence the order.
    folded = unicodedata.normalize("NFKD", decomposed.casefold())
    return _MARKS.sub("", folded.translate(_PLAIN))
