"""What people do, for demonstrations and benchmarks: messages read and clicked, pages seen, orders, conversations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from contacts.activity.events import ActivityRecorded, AddressedAs

#: Of a hundred episodes, how many are of each kind.
SHARES: Final = {"campaign": 60, "visit": 25, "order": 8, "conversation": 7}
OCCASIONS: Final = ("Spring", "Summer", "Autumn", "Winter", "Welcome", "Newsletter", "Sale", "Birthday", "Win back")
CAMPAIGN_CHANNELS: Final = {"email": 70, "sms": 12, "web_push": 12, "whatsapp": 6}
PAGES: Final = ("home", "pricing", "product", "cart", "checkout", "help", "blog")
WEB_EVENTS: Final = ("page_viewed", "page_viewed", "page_viewed", "product_viewed", "cart_filled", "signed_in")
PRODUCTS: Final = (("Notebook", 4.5), ("Fountain pen", 39.0), ("Ink", 9.9), ("Desk", 420.0), ("Lamp", 79.0))
CURRENCIES: Final = {"DE": "EUR", "FR": "EUR", "ES": "EUR", "IT": "EUR", "NL": "EUR", "US": "USD", "GB": "GBP"}
AGENTS: Final = ("ada@rollbook.test", "grace@rollbook.test", "linus@rollbook.test", "edsger@rollbook.test")
INCOMING: Final = ("Where is my order?", "Can I change the address?", "Thank you!", "The lamp arrived broken.")
OUTGOING: Final = ("We are looking into it.", "It is on its way.", "A new one was sent today.", "You are welcome.")
LANGUAGES: Final = ("en", "en", "en", "de", "fr", "es")
CAMPAIGNS: Final = 180
SOURCE: Final = "seed"
NOW: Final = timedelta()
MINUTE: Final = timedelta(minutes=1)
#: How unevenly people do things: the exponent of a Pareto distribution, and the most that one does of the average.
SKEW: Final = 1.16
MOST: Final = 400.0


#: Kind, how long after the beginning, data.
Deed: TypeAlias = tuple[str, timedelta, dict[str, Any]]


class Doer(NamedTuple):
    """Somebody who does things, and between when and when."""

    number: int
    known_as: AddressedAs
    country: str
    since: datetime
    until: datetime


class Campaign(NamedTuple):
    """A message to many."""

    name: str
    channel: str
    language: str


class Activities:
    """Makes what one person after another does; the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        # The campaigns are the same for everybody.
        self._campaigns = _campaigns(Random(CAMPAIGNS))
        self._episodes = (self._campaign, self._visit, self._order, self._conversation)
        self._shares = [SHARES[episode.__name__.removeprefix("_")] for episode in self._episodes]

    def share_out(self, people: int, activities: int) -> list[int]:
        """How much each of `people` does: most do little, a few do very much, together exactly `activities`."""
        weights = [min(self._random.paretovariate(SKEW), MOST) for _ in range(people)]
        of_each = activities / sum(weights) if weights else 0.0
        counts: list[int] = []
        due, given = 0.0, 0
        for weight in weights:
            due += weight * of_each
            counts.append(round(due) - given)
            given += counts[-1]
        return counts

    def of(self, doer: Doer, count: int) -> list[ActivityRecorded]:
        """So many, in the order in which they happened."""
        found: list[ActivityRecorded] = []
        span = doer.until - doer.since
        while len(found) < count:
            begun = doer.since + span * self._random.random()
            episode = self._random.choices(self._episodes, self._shares)[0]
            for kind, later, data in episode(doer):
                found.append(
                    ActivityRecorded(
                        activity_id=f"{doer.number:x}-{len(found):x}",
                        kind=kind,
                        occurred_at=min(begun + later, doer.until),
                        source=SOURCE,
                        addressed_as=doer.known_as,
                        data=data,
                    )
                )
        del found[count:]
        found.sort(key=_when)
        return found

    def _campaign(self, doer: Doer) -> Iterator[Deed]:
        """A message, and what becomes of it."""
        campaign = self._campaigns[min(int(self._random.paretovariate(0.5)), len(self._campaigns)) - 1]
        data = {"channel": campaign.channel, "message_name": campaign.name, "language": campaign.language}
        yield "message.sent", NOW, data
        chance = self._random.random()
        if chance < 0.02:
            yield "message.undelivered", MINUTE, {**data, "bounce": "soft" if chance < 0.015 else "hard"}
            return
        yield "message.delivered", MINUTE, data
        if chance < 0.6:
            return
        yield "message.read", MINUTE * self._random.randint(2, 3_000), data
        if chance > 0.88:
            url = f"https://shop.example.com/{self._random.choice(PAGES)}"
            yield "message.clicked", MINUTE * self._random.randint(3_001, 3_010), {**data, "url": url}
        elif chance < 0.603:
            yield "message.unsubscribed", MINUTE * 3_005, data

    def _visit(self, doer: Doer) -> Iterator[Deed]:
        for step in range(self._random.choice((1, 1, 2, 3, 6))):
            name = self._random.choice(WEB_EVENTS)
            page = self._random.choice(PAGES)
            yield f"web.{name}", MINUTE * step, {"name": name, "url": f"https://shop.example.com/{page}"}

    def _order(self, doer: Doer) -> Iterator[Deed]:
        product, price = self._random.choice(PRODUCTS)
        quantity = min(int(self._random.paretovariate(1.5)), 50)
        order = {
            "external_id": f"O-{doer.number}-{self._random.getrandbits(32):08x}",
            "amount": round(price * quantity, 2),
            "currency": CURRENCIES.get(doer.country, "USD"),
            "items": [{"name": product, "quantity": quantity, "price": price}],
        }
        yield "order.placed", NOW, {**order, "status": "new"}
        if self._random.random() < 0.8:
            yield "order.paid", MINUTE * 5, {**order, "status": "paid"}

    def _conversation(self, doer: Doer) -> Iterator[Deed]:
        talk = {
            "conversation_id": f"T-{doer.number}-{self._random.getrandbits(32):08x}",
            "channel": self._random.choice(("email", "whatsapp", "web_chat")),
        }
        agent = self._random.choice(AGENTS)
        yield "conversation.opened", NOW, talk
        yield "conversation.assigned", NOW, {**talk, "assignee": agent}
        for turn in range(self._random.choice((1, 1, 2, 4))):
            yield "conversation.message_in", MINUTE * (7 * turn), {**talk, "preview": self._random.choice(INCOMING)}
            said = {**talk, "author": agent, "preview": self._random.choice(OUTGOING)}
            yield "conversation.message_out", MINUTE * (7 * turn + 3), said
        if self._random.random() < 0.85:
            yield "conversation.closed", MINUTE * 60, {**talk, "reason": "solved"}


def _campaigns(random: Random) -> list[Campaign]:
    """The most sent first."""
    channels, shares = list(CAMPAIGN_CHANNELS), list(CAMPAIGN_CHANNELS.values())
    return [
        Campaign(f"{occasion} {number}", random.choices(channels, shares)[0], random.choice(LANGUAGES))
        for number in range(1, CAMPAIGNS // len(OCCASIONS) + 1)
        for occasion in OCCASIONS
    ]


def _when(activity: ActivityRecorded) -> datetime:
    return activity.occurred_at
