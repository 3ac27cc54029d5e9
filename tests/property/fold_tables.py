"""The rows that every read model must have of one workspace: as the fold of the log has them, and as the tables do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from tests.property.fold import Contacts, Fact, State
from tests.property.fold_addresses import Addresses, addresses_of
from tests.property.fold_duplicates import address_groups
from tests.property.fold_engagement import engagements

#: Names that histories use, as they are searched and sorted by.
FOLDED: Final = {
    "Zoë": "zoe", "Łukasz": "lukasz", "O’Brien": "o'brien", "Straße": "strasse", "Anna Maria": "anna maria",
}  # fmt: skip
KIND_CATEGORIES: Final = {"message": "campaigns", "order": "orders", "conversation": "conversations"}

#: Rows by key.
Rows = dict[Any, Any]


class Folded:
    """One workspace as it must be seen once its log up to some position is applied."""

    def __init__(self, workspace: UUID, facts: list[Fact], addresses: Addresses) -> None:
        self._workspace, self._facts, self._addresses = workspace, facts, addresses
        self.contacts = Contacts(facts)
        self._living = [each for each in list(self.contacts.facts) if not self.contacts.erased(each)]
        self._roots = [each for each in self._living if self.contacts.parent(each) is None]
        self._merged = [each for each in self._living if each not in self._roots or self.contacts.claimed(each)]
        self._over = self._beyond_the_limit()

    def _limit(self) -> tuple[int | None, int] | None:
        """The plan's limit, and the version that says so; None where there never was one."""
        limits = [
            f for f in self._facts if f.name == "workspace.settings_changed" and "contact_limit" in (f.said or {})
        ]
        return (limits[-1].said["contact_limit"], limits[-1].version) if limits and limits[-1].said else None

    def _beyond_the_limit(self) -> set[UUID]:
        present = [each for each in self._roots if not self.contacts.own(each).get("deleted_at")]
        limit = self._limit()
        if limit is None or limit[0] is None:
            return set()
        newest = sorted(present, key=lambda each: (self.contacts.own(each)["created_at"], each), reverse=True)
        return set(newest[: max(0, len(present) - limit[0])])

    # -- the contact read model ----------------------------------------------------------------------------------------

    def contact(self) -> Rows:
        return {root: self._row(root, self._shown(root)) for root in self._roots}

    def _shown(self, root: UUID) -> State:
        members = [self.contacts.own(each) for each in (root, *self.contacts.below(root))]
        shown = dict(self.contacts.profile(root))
        standing = self._addresses.standing(shown, members if len(members) > 1 else [], over_limit=root in self._over)
        return shown | {"standing": standing}

    def _row(self, root: UUID, shown: State) -> State:
        first, last = (FOLDED.get(shown[name] or "", shown[name]) for name in ("first_name", "last_name"))
        full = " ".join(filter(None, (first, last))) or None
        row = {
            name: shown.get(name)
            for name in (
                "created_at", "changed_at", "deleted_at", "version", "campaign_opt_in", "external_id", "messaging_id",
                "phone", "country", "language", "time_zone", "source",
            )
        }  # fmt: skip
        searched = " ".join(filter(None, (full, shown["email"], shown["external_id"], shown["messaging_id"])))
        phone = f" {shown['phone'].replace(';ext=', ' ')}" if shown["phone"] else ""
        return row | {
            "blocked": bool(shown.get("blocked")),
            "assignee": FOLDED.get(shown["assignee"] or "", shown["assignee"]),
            "first_name": first,
            "last_name": last,
            "full_name": full,
            "filed_name": f"{last}\t{first}" if first and last else full,
            "email": shown["email"] and shown["email"].lower(),
            "email_status": shown["email"] and _status(shown, "email"),
            "phone_status": shown["phone"] and _status(shown, "phone"),
            "tags": sorted({tag.casefold() for tag in shown["tags"]}),
            "lists": shown["lists"],
            "categories": sorted({category.casefold() for category in shown["categories"]}),
            "channels": sorted({channel["kind"] for channel in shown["channels"]}),
            "attributes": {
                key: value.casefold() if isinstance(value, str) else value for key, value in shown["attributes"].items()
            },
            "extras": _extras(shown) or None,
            "absorbed": shown["absorbed"] or None,
            "search": f" {searched.lower().replace(chr(39), '')}{phone}",
            "state": self._state(root, shown),
        }

    def _state(self, contact: UUID, shown: State) -> Any:
        merges = {fact.version: fact.said for fact in self.contacts.facts[contact] if fact.name == "contact.merged"}
        absorptions = [
            {"version": version, "edges": edges, "choices": (merges[version] or {}).get("choices")}
            for version, edges in self.contacts.claimed(contact).items()
        ]
        return plain(shown | {"composition": {"absorptions": absorptions}})

    def contact_member(self) -> Rows:
        found = {}
        for each in self._merged:
            own = self.contacts.own(each)
            found[each] = {
                "root_id": self.contacts.root(each),
                "external_id": own["external_id"],
                "messaging_id": own["messaging_id"],
                "email": own["email"] and own["email"].lower(),
                "phone": own["phone"],
                "state": self._state(each, own | {"absorbed": []}),
            }
        return found

    def contact_recency(self) -> Rows:
        rows = {root: self.contacts.own(root) for root in self._roots}
        return {root: (own["changed_at"], bool(own.get("deleted_at"))) for root, own in rows.items()}

    def contact_count(self) -> Rows:
        return dict(Counter(
            (row["deleted_at"] is not None, row["email_status"] or "", row["phone_status"] or "")
            for row in self.contact().values()
        ))  # fmt: skip

    def contact_address(self) -> Rows:
        widest = self._addresses.digests.widest
        places = {
            (widest(family, text), each)
            for each in self._living
            for family, text in addresses_of(self.contacts.own(each))
        }
        return dict.fromkeys(places, True)

    def address_record(self) -> Rows:
        found = {}
        for ledger in self._addresses.ledgers:
            closed = ledger.listing.at if ledger.listing is not None and ledger.family == "email" else None
            found[ledger.address] = (ledger.stream, closed, len(ledger.consents), len(ledger.listings))
        return found

    def contact_quota(self) -> Rows:
        limit = self._limit()
        return {} if limit is None else {self._workspace: limit}

    def contact_over(self) -> Rows:
        return dict.fromkeys(self._over, True)

    # -- the others ----------------------------------------------------------------------------------------------------

    def suppression(self) -> Rows:
        found = {}
        for ledger in self._addresses.ledgers:
            if ledger.listings:
                listing = ledger.listing
                words = ledger.words(listing) if listing else {}
                found[ledger.stream] = (
                    listing is not None, listing.at if listing else None, len(ledger.listings), ledger.family,
                    words.get("address"), words.get("reason"), words.get("fact_version", 0),
                )  # fmt: skip
        return found

    def suppression_count(self) -> Rows:
        return dict(Counter(row[3] for row in self.suppression().values() if row[0]))

    def activity(self) -> Rows:
        found = {}
        for fact in self._facts:
            said = fact.said
            if fact.category == "activity" and said is not None and not self.contacts.erased(fact.stream):
                category = KIND_CATEGORIES.get(said["kind"].partition(".")[0], "events")
                key = (fact.stream, category, said["occurred_at"], said["activity_id"], said["source"])
                found[key] = (
                    fact.at, fact.position, said["kind"], _jsonable(said["addressed_as"]),
                    _jsonable(said.get("data", {})),
                )  # fmt: skip
        return found

    def activity_month(self) -> Rows:
        months = ((key[0], key[1], key[2].date().replace(day=1)) for key in self.activity())
        return dict(Counter(months))

    def identity(self) -> Rows:
        connected = (
            (_digest(channel), channel.get("application") or "", each)
            for each in self._living
            for channel in self.contacts.own(each)["channels"]
        )
        return dict.fromkeys(connected, True)

    # -- engagement and duplicates -------------------------------------------------------------------------------------

    def engagement(self) -> Rows:
        found = {}
        for root, shown in engagements(self._facts).items():
            folded = {
                "conversation_assignee": _as_searched(shown["conversation_assignee"]),
                "last_message_preview": _as_searched(shown["last_message_preview"]),
                "labels": [_as_searched(label) for label in shown["labels"]],
                "fields": {key: _as_searched(value) for key, value in shown["fields"].items()},
            }
            found[root] = shown | folded | {"shown": plain(shown)}
        return found

    def address_group(self) -> Rows:
        """Groups that nobody dismissed."""
        present = [self.contacts.profile(root) for root in self._roots if not self.contacts.own(root).get("deleted_at")]
        return address_groups(present)


def _as_searched(value: Any) -> Any:
    return FOLDED.get(value, value.lower()) if isinstance(value, str) else value


def _status(shown: State, family: str) -> str:
    standing = shown["standing"] or {}
    status: str = (standing.get(family) or {"status": "active"})["status"]
    return status


def _extras(shown: State) -> Any:
    """What filters ask for beside the columns, as JSON."""
    standing = shown["standing"] or {}
    found: State = {"consents": standing.get("consents"), "deletion_reason": shown.get("deletion_reason")}
    for family in ("email", "phone"):
        status = (standing.get(family) or {}) if shown[family] else {}
        found[f"{family}_status"] = {name: status.get(name) for name in ("since", "reason", "source")}
    found |= {"address": shown["address"], "location": shown["location"], "avatar_url": shown["avatar_url"]}
    channels = shown["channels"]
    seen = {kind: [c for c in channels if kind in ("", c["kind"])] for kind in ("", *(c["kind"] for c in channels))}
    found["seen"] = {
        kind: {"first_seen_at": min(c["first_seen_at"] for c in of), "last_seen_at": max(c["last_seen_at"] for c in of)}
        for kind, of in seen.items()
        if of
    }
    for part in ("application", "device"):
        found[part] = sorted({channel[part] for channel in channels if channel.get(part)})
    return _small(_jsonable(plain(found)))


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: each if key == "country" else _small(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_small(each) for each in value]
    return value.lower() if isinstance(value, str) and "T" not in value else value


def _digest(channel: Mapping[str, Any]) -> bytes:
    return sha256(f"{channel['kind']}\x1f{channel['token']}".encode()).digest()[:16]


def _jsonable(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def plain(value: Any) -> Any:
    """Comparable whatever packed it: ids as bytes, lists for tuples, and nothing that is empty."""
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, Mapping):
        found = {key: plain(each) for key, each in value.items()}
        return {key: each for key, each in found.items() if each not in (None, False, [], {}, 0, "")}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


# -- what the tables hold ---------------------------------------------------------------------------------------------


def _found_state(state: bytes) -> Any:
    found = msgspec.msgpack.decode(state)
    if found.get("composition"):
        # What else it keeps is for the next merge, and shows in profiles.
        found["composition"] = {"absorptions": found["composition"]["absorptions"]}
    return plain(found)


def _found_contact(row: Any) -> tuple[Any, Any]:
    left_out = ("workspace_id", "contact_id", "position")
    found = {name: value for name, value in row.items() if name not in left_out}
    found |= {"attributes": msgspec.json.decode(row["attributes"]), "state": _found_state(row["state"])}
    found["extras"] = row["extras"] and msgspec.json.decode(row["extras"])
    return row["contact_id"], found


def _found_member(row: Any) -> tuple[Any, Any]:
    found = {name: value for name, value in row.items() if name not in ("workspace_id", "contact_id")}
    return row["contact_id"], found | {"state": _found_state(row["state"])}


def _found_record(row: Any) -> tuple[Any, Any]:
    state = msgspec.msgpack.decode(row["state"])
    versions = state["consent"].get("version", 0), state["suppressed"].get("version", 0)
    return row["address"], (row["stream_id"], row["closed_since"], *versions)


def _found_activity(row: Any) -> tuple[Any, Any]:
    key = tuple(row[name] for name in ("contact_id", "category", "occurred_at", "activity_id", "source"))
    told = msgspec.json.decode(row["addressed_as"]), msgspec.json.decode(row["data"])
    return key, (row["recorded_at"], row["position"], row["kind"], *told)


def _found_engagement(row: Any) -> tuple[Any, Any]:
    left_out = ("workspace_id", "contact_id", "from_position", "own")
    found = {name: value for name, value in row.items() if name not in left_out}
    found |= {"fields": msgspec.json.decode(row["fields"]), "shown": plain(msgspec.msgpack.decode(row["shown"]))}
    return row["contact_id"], found


def _columns(keys: tuple[str, ...], values: tuple[str, ...] = ()) -> Callable[[Any], tuple[Any, Any]]:
    def found(row: Any) -> tuple[Any, Any]:
        key = tuple(row[name] for name in keys)
        value = tuple(row[name] for name in values)
        return (key if len(keys) > 1 else key[0]), (value if len(values) > 1 else value[0] if values else True)

    return found


#: How the rows of each table are read, by read model.
TABLES: Final[dict[str, dict[str, Callable[[Any], tuple[Any, Any]]]]] = {
    "contact": {
        "contact": _found_contact,
        "contact_member": _found_member,
        "contact_recency": _columns(("contact_id",), ("changed_at", "deleted")),
        "contact_count": _columns(("deleted", "email_status", "phone_status"), ("contacts",)),
        "contact_address": _columns(("address", "contact_id")),
        "address_record": _found_record,
        "contact_quota": _columns(("workspace_id",), ("contact_limit", "version")),
        "contact_over": _columns(("contact_id",)),
    },
    "suppression": {
        "suppression": _columns(
            ("suppression_id",),
            ("listed", "since", "version", "channel", "address", "reason", "reason_version"),
        ),
        "suppression_count": _columns(("channel",), ("entries",)),
    },
    "activity": {
        "activity": _found_activity,
        "activity_month": _columns(("contact_id", "category", "month"), ("activities",)),
    },
    "identity": {"identity": _columns(("digest", "application", "contact_id"))},
    "engagement": {"engagement": _found_engagement},
    "duplicate": {"address_group": _columns(("address_kind", "address"), ("contacts",))},
}
#: Tables of these read models that are compared with a rebuild only.
WITHOUT_FOLD: Final = (
    "engagement_member", "engagement_history", "candidate", "contact_member", "full_block", "likely_pair", "dismissal",
    "duplicate_count",
)  # fmt: skip


async def found_rows(connection: Any, model: str, workspace: UUID, schema: str) -> dict[str, Rows]:
    """What the tables of one read model hold of a workspace."""
    return {
        table: dict(
            map(read, await connection.fetch(f"SELECT * FROM {schema}.{table} WHERE workspace_id = $1", workspace))
        )
        for table, read in TABLES[model].items()
    }


def differences(folded: Folded, model: str, found: Mapping[str, Rows]) -> list[str]:
    """Where the tables of a read model are not the fold, in words."""
    wrong = []
    for table, rows in found.items():
        expected: Rows = getattr(folded, table)()
        for key in expected.keys() | rows.keys():
            one, other = expected.get(key), rows.get(key)
            if one == other:
                continue
            if isinstance(one, dict) and isinstance(other, dict):
                parts = {name: (one.get(name), other.get(name)) for name in one.keys() | other.keys()}
                one, other = _only_different(parts)
            wrong.append(f"{model}.{table} {key}: folded {one}, found {other}")
    return wrong


def _only_different(parts: dict[str, tuple[Any, Any]]) -> tuple[Any, Any]:
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for name, pair in parts.items():
        one, other = pair
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            pair = _only_different({key: (one.get(key), other.get(key)) for key in one.keys() | other.keys()})  # noqa: PLW2901
        found[0][name], found[1][name] = pair
    return found
