"""Random histories of commands, sent over HTTP to one workspace each. What comes of them is told by the log alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tests.property.fold_tables import FOLDED
from tests.support.wire import Reply, Wire, address

NAMES: Final = (*FOLDED, None)
TAGS: Final = ("vip", "VIP", "News", "news", "Kiel", "old")
LISTS: Final = ("News", "Offers", "Fair")
CATEGORIES: Final = ("sale", "events")
#: Of several workspaces, and spelt in ways that reach the same person.
SHARED_EMAILS: Final = (
    "ann.lee@g{}.example.com", "Ann.Lee+news@G{}.Example.com", "b.o.b{}@gmail.com", "bob{}+x@googlemail.com",
    "Bob{}@gmail.com",
)  # fmt: skip
PHONES: Final = ("+4930901820", "+4930901821", "+4930901822 ext. 12", "+4930901822")
CHANNELS: Final = (
    {"kind": "telegram", "token": "t1"}, {"kind": "telegram", "token": "t2"},
    {"kind": "whatsapp", "token": "4930901820"}, {"kind": "mobile_push", "token": "p1", "application": "shop"},
    {"kind": "mobile_push", "token": "p2", "application": "shop", "device": "d1"},
    {"kind": "mobile_push", "token": "p3", "application": "shop", "device": "d1"},
)  # fmt: skip
SAID_ON: Final = ("email", "email", "email", "sms", "whatsapp", "telegram", "phone")
PROOF: Final = {"text": "Yes, send me news", "ip": "192.0.2.7"}
ACTIVITIES: Final = (
    ("message.sent", {"channel": "email", "message_name": "Spring"}), ("web.event", {"name": "viewed"}),
    ("message.clicked", {"channel": "email", "url": "https://example.com/"}),
    ("order.placed", {"external_id": "o-1", "amount": 12.5, "currency": "EUR"}),
    ("conversation.opened", {"conversation_id": "c-1"}), ("conversation.closed", {}), ("conversation.snoozed", {}),
    ("conversation.assigned", {"assignee": "Anna Maria"}), ("conversation.assigned", {}),
    ("conversation.message_in", {"channel": "whatsapp", "preview": "Straße"}), ("conversation.message_out", {}),
    ("conversation.labels_changed", {"labels": ["vip", "Łukasz", "vip"]}),
    ("conversation.fields_changed", {"fields": {"order": 17, "paid": True}}),
    ("conversation.fields_changed", {"fields": {"order": None, "city": "Straße"}}),
    ("message.delivered", {"channel": "email"}), ("message.read", {"channel": "email"}),
    ("message.read", {"channel": "telegram"}),
)  # fmt: skip

Step = Callable[["History"], Awaitable[None]]


class History:
    """One workspace and what is done in it, chosen by a seed."""

    def __init__(self, wire: Wire, key: str, workspace: UUID, seed: int, group: int) -> None:
        """Workspaces of one group know some of the same people."""
        self.workspace = workspace
        self._emails = [email.format(group) for email in SHARED_EMAILS]
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        #: Of the last answer to a command.
        self.position = 0
        self._wire, self._key = wire, key
        self._pick = random.Random(seed)
        self._contacts: list[str] = []
        self._merges: list[str] = []
        self._listed: list[str] = []
        self._lists: list[str] = []
        self._number = 0

    async def begin(self) -> None:
        """Definitions and settings, and the first contacts."""
        await self._send("POST", "/v1/attributes", {"key": "plan", "type": "text"})
        await self._send("POST", "/v1/attributes", {"key": "size", "type": "number"})
        self._lists = [(await self._send("POST", "/v1/lists", {"name": name})).json()["id"] for name in LISTS]
        await self._send("PATCH", "/v1/settings", {"double_opt_in": {"subscription_form": True}})
        for _ in range(4):
            await self._create()

    async def step(self) -> None:
        """One command. Raises AssertionError where the answer is a 5xx."""
        steps: tuple[tuple[int, Step], ...] = (
            (10, History._create), (16, History._edit), (6, History._tag), (4, History._untag), (6, History._connect),
            (3, History._disconnect), (3, History._block), (8, History._delete), (8, History._restore),
            (12, History._merge), (10, History._unmerge), (7, History._blacklist), (7, History._objection),
            (7, History._agreement), (3, History._list_address), (8, History._activity), (2, History._limit),
            (1, History._erase),
        )  # fmt: skip
        weights, kinds = zip(*steps, strict=True)
        await self._pick.choices(kinds, weights)[0](self)

    # -- contacts ------------------------------------------------------------------------------------------------------

    def _fields(self) -> dict[str, Any]:
        choose = self._pick.choice
        own = f"{choose(('a', 'b', 'C'))}@{self.workspace.hex[-8:]}.example.com"
        return {
            "first_name": choose(NAMES), "last_name": choose(NAMES), "phone": choose((*PHONES, None)),
            "email": choose((*self._emails, own, own, own, None)), "country": choose(("DE", "at", None)),
            "tags": self._pick.sample(TAGS, self._pick.randint(0, 3)), "lists": self._pick.sample(self._lists, 1),
            "categories": self._pick.sample(CATEGORIES, self._pick.randint(0, 2)), "language": choose(("de", "en-GB")),
            "attributes": {"plan": choose(("Gold", "silver", None)), "size": choose((1, 2.5, None))},
            "messaging_id": choose((f"m-{self._pick.randint(0, 9)}", None)), "assignee": choose(("Anna Maria", None)),
            "time_zone": choose(("Europe/Berlin", None)), "campaign_opt_in": choose((True, False, None)),
            "address": choose(({"city": "Kiel"}, {"street": "Allee 1", "city": "Kiel"}, None)),
            "location": choose(({"latitude": 54.3, "longitude": 10.1}, None)),
        }  # fmt: skip

    async def _create(self) -> None:
        self._number += 1
        fields = {name: value for name, value in self._fields().items() if self._pick.random() < 0.6}
        fields |= {"external_id": f"x{self._number}", "source": self._pick.choice(("api", "subscription_form"))}
        fields["channels"] = self._pick.sample(CHANNELS, self._pick.choice((0, 0, 1)))
        reply = await self._send("POST", "/v1/contacts", fields)
        if reply.status == 201:
            self._contacts.append(reply.json()["id"])

    def _any(self) -> str:
        return self._pick.choice(self._contacts)

    async def _about(self, action: str, body: Any = None, method: str = "POST", **query: str) -> Reply:
        return await self._send(method, address(f"/v1/contacts/{self._any()}{action}", query or None), body)

    async def _edit(self) -> None:
        fields = self._fields()
        await self._about("", {name: fields[name] for name in self._pick.sample(sorted(fields), 2)}, "PATCH")

    async def _tag(self) -> None:
        await self._about("/tags", {"tags": self._pick.sample(TAGS, 2)})

    async def _untag(self) -> None:
        await self._about(f"/tags/{self._pick.choice(TAGS)}", None, "DELETE")

    async def _connect(self) -> None:
        await self._about("/channels", self._pick.choice(CHANNELS))

    async def _disconnect(self) -> None:
        channel = self._pick.choice(CHANNELS)
        query = {"application": channel["application"]} if "application" in channel else {}
        await self._about(f"/channels/{channel['kind']}/{channel['token']}", None, "DELETE", **query)

    async def _block(self) -> None:
        await self._about(self._pick.choice(("/block", "/unblock", "/unblock")), {"reason": "rude"})

    async def _delete(self) -> None:
        await self._about("", {"reason": "test"}, "DELETE")

    async def _restore(self) -> None:
        await self._about("/restore")

    async def _erase(self) -> None:
        if len(self._contacts) > 3:
            await self._about("/erase", {"confirm": True, "reason": "person_asked"})

    # -- merges --------------------------------------------------------------------------------------------------------

    async def _merge(self) -> None:
        primary, *others = self._pick.sample(self._contacts, min(len(self._contacts), self._pick.choice((2, 2, 2, 3))))
        fields = ("first_name", "email", "phone", "attributes.plan")
        chosen = self._pick.sample(fields, self._pick.choice((0, 1, 2)))
        choices = {field: self._pick.choice((primary, *others)) for field in chosen}
        reply = await self._send("POST", "/v1/merges", {"primary": primary, "others": others, "choices": choices})
        if reply.status == 422 and choices:
            reply = await self._send("POST", "/v1/merges", {"primary": primary, "others": others})
        if reply.status == 201:
            self.counts["merges"] += 1
            self._merges.append(reply.json()["id"])

    async def _unmerge(self) -> None:
        if not self._merges:
            return
        path = f"/v1/merges/{self._pick.choice(self._merges)}/unmerge"
        mode = self._pick.choice(("subtree", "subtree", "single"))
        assign: dict[str, str] = {}
        if self._pick.random() < 0.5:
            preview = await self._send("POST", f"{path}/preview", {"mode": mode})
            if preview.status == 200:
                assign = self._assigned(preview.json())
        reply = await self._send("POST", path, {"mode": mode, "assign": assign})
        self.counts["unmerges"] += reply.status == 200
        self.counts["given edits"] += bool(assign and reply.status == 200)

    def _assigned(self, preview: dict[str, Any]) -> dict[str, str]:
        """An edit or two go with somebody who leaves."""
        edited = [edit["field"] for edit in preview["edits"]]
        leaving = [each["id"] for each in preview["leaving"]]
        if not edited or not leaving:
            return {}
        return {self._pick.choice(edited): self._pick.choice(leaving) for _ in range(2)}

    # -- addresses -----------------------------------------------------------------------------------------------------

    async def _blacklist(self) -> None:
        channel = self._pick.choice(("email", "email", "phone"))
        if self._pick.random() < 0.6:
            cause = self._pick.choice(({}, {"cause": "hard_bounce"}, {"reason": "asked by phone"}))
            await self._about("/blacklist", {"channel": channel, **cause})
        else:
            await self._about("/unblacklist", {"channel": channel, "reason": "a mistake"})

    async def _objection(self) -> None:
        channel = self._pick.choice((*SAID_ON, "all"))
        action = self._pick.choice(("/unsubscribe", "/report-spam", "/consents", "/unsubscribe"))
        body: dict[str, Any] = {"channel": channel}
        if action == "/consents":
            body |= {"channel": self._pick.choice(SAID_ON), "status": "unsubscribed", "reason": "enough"}
        elif action == "/unsubscribe" and channel != "all" and self._pick.random() < 0.3:
            body["category"] = self._pick.choice(CATEGORIES)
        await self._about(action, body)

    async def _agreement(self) -> None:
        action = self._pick.choice(("/resubscribe", "/clear-spam", "/confirm", "/consents"))
        body: dict[str, Any] = {"channel": self._pick.choice(SAID_ON), "reason": "said so", "proof": PROOF}
        if action == "/consents":
            body["status"] = "subscribed"
        await self._about(action, body)

    async def _list_address(self) -> None:
        if self._listed and self._pick.random() < 0.5:
            path = f"/v1/suppressions/{self._pick.choice(self._listed)}"
            await self._send("DELETE", path, {"reason": "a mistake"})
            return
        channel, addresses = self._pick.choice((("email", self._emails), ("phone", PHONES)))
        body = {"channel": channel, "address": self._pick.choice(addresses), "reason": "known spam trap"}
        reply = await self._send("POST", "/v1/suppressions", body)
        if reply.status in (200, 201):
            self._listed.append(reply.json()["id"])

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def _activity(self) -> None:
        sent = []
        for _ in range(self._pick.randint(1, 3)):
            self._number += 1
            kind, data = self._pick.choice(ACTIVITIES)
            time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self._pick.randint(0, 5_000))
            contact = self._pick.choice(({"id": self._any()}, {"external_id": f"x{self._pick.randint(1, 6)}"}))
            sent.append({
                "id": f"a{self._number - self._pick.choice((0, 0, 0, 1))}", "source": "shop", "type": kind,
                "time": time.isoformat(), "contact": contact, "data": data,
            })  # fmt: skip
        await self._send("POST", "/v1/activity", {"items": sent})

    async def _limit(self) -> None:
        await self._send("PATCH", "/v1/settings", {"contact_limit": self._pick.choice((2, 4, None))})

    async def _send(self, method: str, path: str, body: Any = None) -> Reply:
        reply = await self._wire.send(method, path, body, key=self._key)
        self.trace.append(f"{method} {path} {body} -> {reply.status}")
        assert reply.status < 500, "\n".join([*self.trace, reply.text])
        self.counts["commands"] += 1
        self.counts["accepted" if reply.status < 300 else "refused"] += 1
        _, _, position = reply.headers.get("rollbook-position", "").partition(".")
        self.position = max(self.position, int(position or 0))
        return reply
