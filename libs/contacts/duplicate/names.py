"""How names are compared beyond their letters: short forms people go by, and a coarse sound. Tables and text only.

The short forms are common knowledge, written down for this table: each line is a name and what its bearers are called.
One short form may stand for several names; that they share one is evidence, not proof, and is weighed as such.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from contacts.folding import fold

_SHORT_FORMS: Final = """
abigail: abby gail
alexander: alex al alec sandy sasha xander lex alejandro aleksandr alessandro oleksandr
alexandra: alex sandra sandy sasha lexi alessandra oleksandra
andrew: andy drew andreas andre andrea andrei andriy
anna: ann anne annie anya hannah anka ania
anthony: tony antonio anton antoine
barbara: barb babs basia
benjamin: ben benny benji
catherine: cathy kate katie kathy kitty katherine katharina katarzyna kasia kathryn katrin ekaterina katya kateryna
charles: charlie chuck chas karl carl carlos
christian: chris
christina: chris tina chrissy christine kristina kristin
christopher: chris topher kit christoph krzysztof
daniel: dan danny
david: dave davy
deborah: deb debbie
dmitry: dima mitya dmytro
dorothy: dot dottie dora dorothea
edward: ed eddie ned ted eduardo edouard
eleanor: ellie nell nora eleonore
elizabeth: liz lizzy beth betty eliza elisabeth elsie lisa libby bess lili elzbieta ela
emily: em emmy
eugene: gene evgeny zhenya
florence: flo
frances: fran fanny francesca franziska
francis: frank fran franz francisco francesco francois pancho paco
frederick: fred freddy fritz friedrich federico
gabriel: gabe
gabriele: gabi gaby
george: jorge giorgio georg jerzy yuri yuriy
gerald: gerry jerry
gregory: greg gregor
guillermo: memo
harold: harry hal
helen: nell nellie helena elena lena olena
henry: harry hank hal heinrich henri enrique
isabel: bella izzy isabella isabelle
jacob: jake jack jakob
jacqueline: jackie
james: jim jimmy jamie jem diego santiago
jan: janek
jane: janie jenny
janet: jan
jean: jeanne
jennifer: jen jenny
jessica: jess jessie
johann: hans johannes hannes jan
john: jack johnny jon juan jean giovanni ivan johann
jonathan: jon jonny nathan
joseph: joe joey jose giuseppe josef pepe jozef sepp
joshua: josh
judith: judy
kenneth: ken kenny
kimberly: kim
laurence: larry lawrence lorenzo lars
leonard: len lenny leo leonardo
louis: lou louie luis luigi ludwig
louise: lou luise
maksim: max maxim maksym
maria: mary marie mia mitzi marisa mariya masha
margaret: maggie meg peggy greta gretchen rita margarete marguerite margarita malgorzata gosia daisy
martin: marty marcin
matthew: matt matty matthias mateo matteo mateusz
maximilian: max
melissa: mel missy
michael: mike mick mickey micky miguel michel michele mikhail misha mykhailo micha michal
natalie: nat natalia natasha
nathaniel: nate nathan nat
nicholas: nick nicky nicolas nikolaus klaus nikolai kolya niko mykola mikolaj
olivia: liv livvy
pamela: pam
patricia: pat patty tricia trish
patrick: pat paddy rick patrice
paul: pablo paolo pavel pavlo pawel
peter: pete pedro pietro pierre petro piotr
philip: phil pip felipe philipp filippo philippe
piotr: petr
rachel: rae
raymond: ray raimund
rebecca: becky becca
richard: rick dick rich richie ricky ricardo riccardo
robert: bob rob bobby robbie bert roberto robin
roger: rodger
ronald: ron ronnie
rose: rosie rosa
ruben: rube
samantha: sam sammy
samuel: sam sammy
sarah: sally sadie sara
sergei: sergey serhiy seryozha sergio serge
sophia: sophie sofia zofia zosia
stanislaw: stan staszek
stephanie: steph stefanie stefania
stephen: steve steven stevie stefan stephan esteban etienne stefano
susan: sue susie suzy susanna susanne zuzanna
tatiana: tanya tania tetiana
terence: terry
teresa: terry tess theresa tereza
theodore: ted teddy theo
thomas: tom tommy tomas tomasz tommaso
timothy: tim timmy
tobias: toby
valentina: valya
victoria: vicky tori viktoria
vincent: vince vinnie vincenzo
virginia: ginny
vladimir: volodya vova volodymyr wladimir
walter: walt wally
wilhelm: willi willy
william: bill billy will willy liam guillermo guillaume guglielmo wilhelm
yevhen: zhenya
zachary: zach zack
"""


def _by_form() -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    names: dict[str, set[str]] = {}
    first: dict[str, str] = {}
    for line in _SHORT_FORMS.strip().splitlines():
        name, _, forms = line.partition(":")
        for form in (name, *forms.split()):
            names.setdefault(form, set()).add(name)
            first.setdefault(form, name)
    return {form: frozenset(of) for form, of in names.items()}, first


_NAMES_OF, _FIRST_NAME_OF = _by_form()
_NO_NAMES: Final[frozenset[str]] = frozenset()
#: Whatever separates the parts of a name.
_PARTS: Final = re.compile(r"[^\w']+|_+")
_APOSTROPHES: Final = str.maketrans("", "", "'")

#: Consonants that are mistaken for one another have one digit. h and w go: they do not part two equal consonants.
_SOUNDS: Final = str.maketrans("bfpvcgjkqsxzdtlmnr", "111122222222334556", "hw ")
#: Vowels go after that: they do.
_VOWELS: Final = str.maketrans("", "", "aeiouy")
_REPEATED: Final = re.compile(r"(.)\1+")


def parts(text: str | None) -> tuple[str, ...]:
    """The words of a name, folded; apostrophes are left out (`O'Neil` is `oneil`), hyphens separate."""
    if not text:
        return ()
    if text.isascii() and text.isalpha():
        return (text.lower(),)
    return tuple(part for part in _PARTS.split(fold(text).translate(_APOSTROPHES)) if part)


def are_forms_of_one_name(a: str, b: str) -> bool:
    """Whether two folded first names can be the same person's: `bob` and `robert`, `liz` and `beth`."""
    return not _NAMES_OF.get(a, _NO_NAMES).isdisjoint(_NAMES_OF.get(b, _NO_NAMES))


@lru_cache(maxsize=50_000)
def sound(text: str) -> str:
    """A coarse key under which many misspellings of a folded word are the same; short forms sound like their name.

    The first letter, then up to three digits for the consonants after it. Scripts without Latin letters keep their own.
    """
    return skeleton(_FIRST_NAME_OF.get(text, text))[:4]


def skeleton(text: str) -> str:
    """The first letter and a digit for each of the consonants after it; other scripts as they are, without spaces."""
    if not text:
        return ""
    first = text[0]
    if not text.isascii():
        return text.replace(" ", "")
    coded = _REPEATED.sub(r"\1", text.translate(_SOUNDS)).translate(_VOWELS)
    return first + (coded if first in "aeiouyhw" else coded[1:])
