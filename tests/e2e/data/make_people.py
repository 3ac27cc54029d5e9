"""Wrote `people.csv`: 1,000 people whose names are of many scripts and whose phone numbers are valid. Run it by hand.

    python tests/e2e/data/make_people.py

The same every time for one version of `phonenumbers`, whose metadata make the numbers; the file is what tests read.
"""

from __future__ import annotations

import csv
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

PEOPLE: Final = 1_000
SEED: Final = 20261122
FILE: Final = Path(__file__).with_name("people.csv")
COLUMNS: Final = (
    *("external_id", "first_name", "last_name", "email", "phone", "phone_e164"),
    *("country", "language", "time_zone", "tags"),
)


class Place(NamedTuple):
    """Where people come from, and what they are called there."""

    country: str
    language: str
    time_zone: str
    first_names: list[str]
    last_names: list[str]


#: Country, language and time zone with first names, then last names. `_` stands for a space inside a name.
NAMES: Final = """\
DE de Europe/Berlin: Zoë Jürgen Änne Götz Hannelore
    Müller Weiß Groß Schröder Böhm-Straßer von_der_Lühe
AT de-AT Europe/Vienna: Käthe Jörg Ägidius Österl Sissi
    Königshofer Grünäugl Haß Übelacker Nußbaumer
FR fr Europe/Paris: Chloé François Élodie Noël Anaïs
    Lefèvre Garçon L’Hôpital d’Étienne Œuvrard
ES es Europe/Madrid: José Íñigo Begoña Andrés Úrsula
    Núñez_García Ibáñez Güell Peñalver Muñoz
MX es-MX America/Mexico_City: Xóchitl Ramón Guadalupe Jesús Inés
    Cuauhtémoc Peña Zúñiga López Sánchez
BR pt-BR America/Sao_Paulo: João Conceição Antônio Luíza Estêvão
    Gonçalves Araújo Simões Magalhães Brandão
PT pt Europe/Lisbon: Inês Tomé Lúcia Álvaro Benvinda
    Sá_Pinto Leitão Guimarães Conceição Fragoso
PL pl Europe/Warsaw: Łukasz Małgorzata Świętosława Grażyna Józef
    Wójcik Kołodziejczyk Dąbrowski Źrebiec Śliwa
CZ cs Europe/Prague: Jiří Božena Řehoř Květa Ondřej
    Dvořák Šťastný Žižka Černý Kratochvíl
HU hu Europe/Budapest: György Zsófia Ödön Ágnes Győző
    Szőke Kőműves Németh Hegedűs Szűcs
RO ro Europe/Bucharest: Ștefan Ioana Mădălina Răzvan Sânziana
    Brătianu Țepeș Lăzărescu Ionescu Mureșan
TR tr Europe/Istanbul: Işıl İbrahim Çağla Gökçe Ümit
    Yılmaz Şahin Özdemir Doğan Çelik
VN vi Asia/Ho_Chi_Minh: Hương Đức Thị_Thảo Quỳnh Bảo
    Nguyễn Đặng Trần Phạm Võ
IS is Atlantic/Reykjavik: Þórdís Ægir Sigríður Eyþór Ólöf
    Guðmundsdóttir Þórsson Jónsdóttir Ástþórsson Björnsson
DK da Europe/Copenhagen: Søren Åse Jørgen Maren Lærke
    Kjærgaard Ødegård Møller Østergaard Sørensen
FI fi Europe/Helsinki: Päivi Väinö Örjan Äänelma Yrjö
    Mäkelä Hämäläinen Sjöström Öhman Työläjärvi
LV lv Europe/Riga: Jānis Ģertrūde Kārlis Ļubova Ņikita
    Bērziņš Kalniņš Šķēle Žagars Ķirsis
IE en-IE Europe/Dublin: Siobhán Pádraig Áine Caoimhe Seán
    O'Brien Ó_Súilleabháin MacAodha O’Neill Nic_Dhonnchadha
US en-US America/New_York: Mary-Jane Kaʻiulani Deʼandre Renée Bo
    Kealoha Smith-Jones Fitzgerald_III Li Peña
UA uk Europe/Kyiv: Олександр Ївга Ґалаґан Зоя Мар’яна
    Шевченко Їжакевич Ґонта Щербина Єфремов
BG bg Europe/Sofia: Ангел Живка Щерьо Йоана Ценка
    Йорданов Ъглов Христова Димитрова Желязков
KZ kk Asia/Almaty: Әлия Қанат Ұлжан Өтеген Гүлнәр
    Нұрмағанбетов Әуезов Қасымов Өмірбаева Құнанбайұлы
GR el Europe/Athens: Θεόδωρος Ελένη Ιφιγένεια Οδυσσέας Ζωή
    Παπαδόπουλος Χατζηδάκης Οικονόμου Καζαντζάκης Αλεξίου
GE ka Asia/Tbilisi: ნინო გიორგი თამარ ვახტანგ ქეთევან
    ბერიძე კაპანაძე მამულაშვილი გელაშვილი ჩიქოვანი
AM hy Asia/Yerevan: Անահիտ Տիգրան Նարե Վարդան Սիրանուշ
    Հակոբյան Սարգսյան Պետրոսյան Գրիգորյան Մկրտչյան
IL he Asia/Jerusalem: שירה יצחק נועה אברהם תָּמָר
    כהן לוי בן_דוד מזרחי פרידמן
EG ar Africa/Cairo: محمد فاطمة أحمد نور إسلام
    العربي عبد_الله الشرقاوي منصور حجازي
IR fa Asia/Tehran: زهرا کوروش گلناز پرویز ژاله
    رضایی حسینی‌نژاد کریمی پهلوان چگینی
IN hi Asia/Kolkata: अमित प्रियंका कृष्ण ज्योति श्रेया
    शर्मा कुमारी त्रिपाठी अग्रवाल सिंह
LK ta Asia/Colombo: முருகன் தமிழ்ச்செல்வி கார்த்திக் மீனாட்சி
    சுப்பிரமணியம் நடராஜன் ராஜேந்திரன் இளங்கோவன்
BD bn Asia/Dhaka: রবীন্দ্র সুমাইয়া আনিসুল নুসরাত
    ঠাকুর চৌধুরী রহমান ভট্টাচার্য
TH th Asia/Bangkok: สมชาย กัญญารัตน์ ณัฐวุฒิ พิมพ์ชนก
    ศรีสุวรรณ วงศ์ใหญ่ จันทร์เพ็ญ เจริญสุข
CN zh-Hans Asia/Shanghai: 伟 秀英 建国 雨桐 子涵
    王 李 欧阳 张 司马
TW zh-Hant Asia/Taipei: 淑芬 志明 怡君 俊傑 雅婷
    陳 黃 歐陽 張 劉
JP ja Asia/Tokyo: 太郎 さくら ユウキ 美咲 健一
    山田 佐藤 ワタナベ 髙橋 齋藤
KR ko Asia/Seoul: 민준 서연 지후 하은 도윤
    김 남궁 박 황보 최
ET am Africa/Addis_Ababa: አበበ ፀሐይ ኃይለ ብርሃኑ ሰላማዊት
    ተስፋዬ ገብረማርያም በቀለ ወልደሥላሴ መኮንን
NG yo Africa/Lagos: Ọlábísí Ṣadé Adébáyọ̀ Ẹ̀bùn Túndé
    Ọ̀ṣọ́ Adéyẹmí Ṣóyínká Ọláìyá Ìdòwú
"""
TAGS: Final = ("vip", "Größe XL", "постоянный клиент", "日本", "école d'été", "نشرة", "wholesale", "100 %_sure")
MAIL: Final[tuple[Callable[[str], str], ...]] = (
    lambda number: f"p{number}@example.org",
    lambda number: f"P{number}.Office@EXAMPLE.COM",
    lambda number: f"p{number}+shop@example.net",
    lambda number: f"person_{number}%25off@example.com",
    lambda number: f"p{number}@bücher.example",
    lambda number: f"людина{number}@example.org",
    lambda number: f"o'p{number}@例え.example",
)
FULL_WIDTH: Final = {ord(str(n)): 0xFF10 + n for n in range(10)}
ARABIC_INDIC: Final = {ord(str(n)): 0x0660 + n for n in range(10)}


def valid_number(rng: random.Random, country: str, taken: set[str]) -> PhoneNumber:
    """A number nobody else here has, with the digits at its end drawn until it is valid."""
    while True:
        kind = rng.choice((PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE))
        number = phonenumbers.example_number_for_type(country, kind)
        number.national_number += rng.randrange(10_000) - number.national_number % 10_000
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number) and e164 not in taken:
            taken.add(e164)
            return number


def spelt(number: PhoneNumber, country: str, way: int) -> str:
    """As people write it. What has no `+` is meant from Germany, the default region of the tests' workspace."""
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    match way % 8:
        case 0 | 1:
            return phonenumbers.format_number(number, PhoneNumberFormat.E164)
        case 2 if country == "DE":
            return phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        case 3:
            return international.replace("+", "00", 1)
        case 4:
            return international.replace(" ", ".")
        case 5:
            return international.translate(FULL_WIDTH if way % 16 == 5 else ARABIC_INDIC)
        case 6:
            return phonenumbers.format_number(number, PhoneNumberFormat.RFC3966)
        case _:
            return international


def places() -> Iterator[Place]:
    lines = iter(NAMES.splitlines())
    for line, last_names in zip(lines, lines, strict=True):
        where, _, first_names = line.partition(": ")
        country, language, time_zone = where.split()
        yield Place(country, language, time_zone, _names(first_names), _names(last_names))


def _names(line: str) -> list[str]:
    return [name.replace("_", " ") for name in line.split()]


def people() -> Iterator[tuple[str, ...]]:
    rng = random.Random(SEED)
    taken: set[str] = set()
    everywhere = list(places())
    for index in range(PEOPLE):
        round_, at = divmod(index, len(everywhere))
        place = everywhere[at]
        first = place.first_names[round_ % len(place.first_names)]
        last = place.last_names[(round_ // len(place.first_names) + round_) % len(place.last_names)]
        # Some files come with marks of their own behind the letters, as macOS writes them; some people have one name.
        form = "NFD" if index % 9 == 4 else "NFC"
        number = valid_number(rng, place.country, taken)
        has_phone, has_email = index % 17 != 3, index % 13 != 5
        yield (
            f"crm-{index:05}",
            unicodedata.normalize(form, first),
            "" if index % 41 == 40 else unicodedata.normalize(form, last),
            MAIL[round_ % len(MAIL)](f"{index:04}") if has_email else "",
            spelt(number, place.country, index + round_) if has_phone else "",
            phonenumbers.format_number(number, PhoneNumberFormat.E164) if has_phone else "",
            place.country,
            place.language,
            place.time_zone,
            ";".join(sorted(rng.sample(TAGS, rng.randrange(3)))),
        )


if __name__ == "__main__":
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(people())
