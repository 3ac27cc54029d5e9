"""What is recorded of addresses, and how contacts stand, as a fold of the log: written apart from production."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.property.fold import Fact, State

PHONE_KINDS = ("phone", "sms", "viber", "voice", "whatsapp")
RANKS = ("blacklisted", "spam_report", "unsubscribed", "not_confirmed", "over_limit", "active")

Said = dict[bytes, Fact]
#: Keyed digest of a text, for a purpose: the installation's own, which only stands for the secret here.
Hmac = Callable[[str, str], bytes]
#: Since when another workspace keeps an e-mail on its list, by digest; None where none does.
Closed = Callable[[bytes], datetime | None]


class Digests:
    """Digests of addresses, with the rules of what is one address spelt out for the domains that histories use."""

    def __init__(self, hmac: Hmac) -> None:
        self._hmac = hmac
        self._known: dict[str, bytes] = {}

    def _of(self, text: str) -> bytes:
        if text not in self._known:
            self._known[text] = self._hmac("address", text)
        return self._known[text]

    def widest(self, family: str, text: str) -> bytes:
        if family == "email":
            local, _, domain = text.lower().partition("@")
            local = local.partition("+")[0]
            if domain in ("gmail.com", "googlemail.com"):
                local, domain = local.replace(".", ""), "gmail.com"
            return self._of(f"email/{local}@{domain}")
        if family == "phone":
            return self._of(f"phone/{text.partition(';')[0]}")
        return self._of(f"{family}/{text}")

    def exact(self, family: str, text: str) -> bytes:
        if family == "email":
            return self._of(f"email={text.lower()}")
        return self._of(f"phone={text}") if family == "phone" else self.widest(family, text)


def addresses_of(state: State) -> list[tuple[str, str]]:
    """(family, text) of everything a contact is reached at: e-mail, phone, then its channels."""
    found = [(family, state[family]) for family in ("email", "phone") if state[family]]
    for channel in state["channels"]:
        if channel["kind"] in PHONE_KINDS:
            found.append(("phone", "+" + channel["token"].removeprefix("+")))
        else:
            found.append((channel["kind"], channel["token"]))
    return found


class Ledger:
    """All that one workspace recorded of one address."""

    def __init__(self, stream: UUID, facts: list[Fact]) -> None:
        self.stream = stream
        self.consents = [fact for fact in facts if fact.category == "consent"]
        self.listings = [fact for fact in facts if fact.category == "suppression"]
        self._proofs = [fact for fact in facts if fact.name == "proof.recorded" and fact.said is not None]
        named = [f.said["address"] for f in (*self.consents, *self.listings) if f.said and "address" in f.said]
        self.address: bytes = named[0] if named else b""
        on = [fact.said["channel"] for fact in self.consents if fact.said and "channel" in fact.said]
        families = [fact.said["family"] for fact in self.listings if fact.said and "family" in fact.said]
        self.family: str = (families or [_family(channel) for channel in on] or [""])[0]
        self.channels = sorted(set(on))
        self._withdrawn: dict[str, Said] = defaultdict(dict)
        self._granted: dict[str, Said] = defaultdict(dict)
        self._pending: dict[str, Said] = defaultdict(dict)
        self._spam: dict[str, Said] = defaultdict(dict)
        for fact in self.consents:
            if fact.said and "channel" in fact.said:
                self._hear(fact, fact.said["channel"], fact.said["exact"])

    def _hear(self, fact: Fact, channel: str, exact: bytes) -> None:
        assert fact.said is not None
        withdrawn, granted = self._withdrawn[channel], self._granted[channel]
        match fact.name.partition(".")[2]:
            case "granted":
                withdrawn.pop(exact, None)
                granted[exact] = fact
            case "withdrawn" | "unsubscribed_from_all":
                granted.pop(exact, None)
                withdrawn[exact] = fact
            case "double_opt_in_requested":
                self._pending[channel][exact] = fact
            case "double_opt_in_confirmed":
                self._pending[channel].pop(exact, None)
                if fact.said.get("reopens"):
                    withdrawn.pop(exact, None)
                if exact not in withdrawn:
                    granted[exact] = fact
            case "spam_reported":
                self._spam[channel][exact] = fact
            case "spam_cleared":
                self._spam[channel].clear()

    @property
    def listing(self) -> Fact | None:
        """What keeps it on the blacklist."""
        last = next((fact for fact in reversed(self.listings) if fact.name != "proof.destroyed"), None)
        return last if last is not None and last.name == "suppression.address_blacklisted" else None

    def words(self, fact: Fact) -> dict[str, Any]:
        """The proof of a fact, while it can be read."""
        facts = self.consents if fact.category == "consent" else self.listings
        if any(other.name == "proof.destroyed" and other.version > fact.version for other in facts):
            return {}
        about = [p.said for p in self._proofs if p.category == f"{fact.category}_proof"]
        return next((said for said in about if said and said["fact_version"] == fact.version), {})

    def objections(self, channel: str) -> Said:
        family = _family(channel)
        if channel == family:
            return self._withdrawn[channel]
        agreed = self._granted[channel]
        inherited = {
            exact: fact
            for exact, fact in self._withdrawn[family].items()
            if exact not in agreed or agreed[exact].version < fact.version
        }
        return inherited | self._withdrawn[channel]

    def granted(self, channel: str) -> set[bytes]:
        return set(self._granted[channel])

    def statuses(self) -> list[dict[str, Any]]:
        found = []
        if (listing := self.listing) is not None:
            assert listing.said is not None
            cause = listing.said.get("cause", "manual")
            reason = self.words(listing).get("reason") or (None if cause == "manual" else cause)
            found.append(_status("blacklisted", listing, reason))
        if self.family == "email":
            for status, said in (
                ("spam_report", self._spam["email"]), ("unsubscribed", self._withdrawn["email"]),
                ("not_confirmed", self._pending["email"]),
            ):  # fmt: skip
                if said:
                    first = min(said.values(), key=lambda fact: fact.version)
                    found.append(_status(status, first, self.words(first).get("reason")))
                    break
        return found


def _status(status: str, fact: Fact, reason: str | None) -> dict[str, Any]:
    assert fact.said is not None
    return {"status": status, "since": fact.at, "reason": reason, "source": fact.said["source"], "actor": fact.actor}


def _family(channel: str) -> str:
    return "phone" if channel in PHONE_KINDS else channel


class Addresses:
    """The ledgers of one workspace, out of its facts."""

    def __init__(self, facts: Iterable[Fact], digests: Digests, closed: Closed) -> None:
        streams: dict[UUID, list[Fact]] = defaultdict(list)
        for fact in facts:
            if fact.category.partition("_")[0] in ("consent", "suppression"):
                streams[fact.stream].append(fact)
        self.ledgers = [Ledger(stream, heard) for stream, heard in streams.items()]
        self._by_address = {ledger.address: ledger for ledger in self.ledgers}
        self._closed = closed
        self.digests = digests

    def standing(self, shown: State, members: list[State], *, over_limit: bool) -> Any:
        """How a profile stands, the contacts it is made of being `members`; None where there is nothing to say."""
        reached = [place for state in (shown, *members) for place in addresses_of(state)]
        widest = dict.fromkeys((family, self.digests.widest(family, text)) for family, text in reached)
        records = [(family, self._by_address[digest]) for family, digest in widest if digest in self._by_address]
        since = [self._closed(digest) for family, digest in widest if family == "email"]
        closed = [each for each in since if each is not None]
        if not (records or closed or over_limit):
            return None
        spellings = {self.digests.exact(family, text) for family, text in reached}
        return {
            "email": self._most_restrictive("email", shown, records, closed, over_limit=over_limit),
            "phone": self._most_restrictive("phone", shown, records, [], over_limit=over_limit),
            "consents": _consents([ledger for _, ledger in records], spellings),
            "recorded": bool(records or closed),
            "over_limit": over_limit,
        }

    @staticmethod
    def _most_restrictive(
        family: str, shown: State, records: list[tuple[str, Ledger]], closed: list[datetime], *, over_limit: bool
    ) -> dict[str, Any] | None:
        if not shown[family]:
            return None
        found = [status for at, ledger in records if at == family for status in ledger.statuses()]
        found += [{"status": "blacklisted", "since": since, "source": "installation"} for since in closed]
        found.append({"status": "over_limit" if over_limit else "active"})
        return min(found, key=lambda status: (RANKS.index(status["status"]), status.get("source") == "installation"))


def _consents(ledgers: list[Ledger], spellings: set[bytes]) -> dict[str, str]:
    channels = {"email", "sms", "whatsapp"}.union(*(ledger.channels for ledger in ledgers)) if ledgers else set()
    found = {}
    for channel in channels:
        about = [each for each in ledgers if each.channels and _family(each.channels[0]) == _family(channel)]
        if any(ledger.objections(channel) for ledger in about):
            found[channel] = "unsubscribed"
        elif any(ledger.granted(channel) & spellings for ledger in about):
            found[channel] = "subscribed"
    return found
