"""What the chronicle shows at any moment is what a query as of that moment shows, whatever happens meanwhile."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest

from contacts import errors
from contacts.audit import chronicle as module
from contacts.audit.chronicle import Chronicle, chronicle
from contacts.audit.fields import standing_difference
from contacts.audit.sources import gather
from contacts.contact import commands as c
from contacts.contact.changes import difference
from contacts.contact.state import Contact, initial
from contacts.emails import parse_email
from contacts.merge.view import value_of
from eventstore.envelope import new_id
from tests.integration.audit.conftest import Desk

CONTACTS = 6
STEPS = 60
TAGS = ("a", "b", "c")


class Story:
    """Random commands about a few contacts, and where the log stood after each."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.chance = random.Random(seed)
        self.emails = [f"p{n}.{new_id()}@example.com" for n in range(4)]
        self.contacts: list[UUID] = []
        self.merges: list[UUID] = []
        self.positions: list[int] = []

    async def play(self) -> None:
        for _ in range(CONTACTS):
            await self._take(self._create)
        for _ in range(STEPS):
            await self._take(self.chance.choice(self._acts()))

    def _acts(self) -> list[Any]:
        return [self._edit, self._edit, self._tag, self._untag, self._merge, self._unmerge, self._delete,
                self._restore, self._object, self._agree, self._list_black, self._channel]  # fmt: skip

    async def _take(self, act: Any) -> None:
        try:
            await act()
        except errors.Refusal:
            return
        self.positions.append(await self.desk.head())

    def _any(self) -> UUID:
        return self.chance.choice(self.contacts)

    def _email(self) -> str:
        return self.chance.choice(self.emails)

    async def _create(self) -> None:
        name = f"n{self.chance.randrange(5)}"
        new = await self.desk.create(email=self._email(), first_name=name, tags=self.chance.sample(TAGS, 2))
        self.contacts.append(new)

    async def _edit(self) -> None:
        fields: dict[str, Any] = {"last_name": self.chance.choice([None, "x", "y"])}
        fields |= {"attributes": {"plan": self.chance.choice([None, "gold", "free"])}}
        fields |= {"email": parse_email(self._email())} if self.chance.random() < 0.3 else {}
        await self.desk.edit(self._any(), **fields)

    async def _tag(self) -> None:
        await self.desk.tag(self._any(), self.chance.choice(TAGS))

    async def _untag(self) -> None:
        await self.desk.of(c.UntagContact, self._any(), tags=(self.chance.choice(TAGS),))

    async def _channel(self) -> None:
        channel = c.ChannelIdentity(kind="telegram", token=str(self.chance.randrange(5)))
        await self.desk.of(c.ConnectChannel, self._any(), channel=channel)

    async def _merge(self) -> None:
        primary, *others = self.chance.sample(self.contacts, self.chance.choice([2, 2, 3]))
        choices = {"first_name": self.chance.choice(others)} if self.chance.random() < 0.3 else {}
        self.merges.append(await self.desk.merged(primary, *others, **choices))

    async def _unmerge(self) -> None:
        if self.merges:
            mode = self.chance.choice(["subtree", "single"])
            await self.desk.unmerged(self.chance.choice(self.merges), mode=mode)

    async def _delete(self) -> None:
        await self.desk.delete(self._any())

    async def _restore(self) -> None:
        await self.desk.restore(self._any(), "release")

    async def _object(self) -> None:
        await self.desk.object(self._email())

    async def _agree(self) -> None:
        await self.desk.agree(self._email())

    async def _list_black(self) -> None:
        await self.desk.list_black(self._email())


async def pasts(desk: Desk, story: Story) -> dict[UUID, Chronicle]:
    head, workspace_id = await desk.head(), desk.workspace.id
    return {
        contact: chronicle(await gather(desk.store, desk.keys, workspace_id, contact, head), desk.keys, workspace_id)
        for contact in story.contacts
    }


def plain(contact: Contact | None) -> Any:
    """Without what the reason in words is, which is a matter of the present."""
    return contact and (difference(initial(contact.id), contact), standing_difference(initial(contact.id), contact),
                        contact.id, contact.version)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_at_every_moment_it_shows_what_a_query_as_of_then_shows(desk: Desk, seed: int) -> None:
    story = Story(desk, seed)
    await story.play()
    for contact, past in (await pasts(desk, story)).items():
        for position in story.positions:
            assert plain(past.at(position)) == plain(await desk.as_of(contact, position)), (contact, position)


async def test_a_chronicle_that_forgets_who_left_is_found_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted bug."""
    real = module.fold

    def forgetful(contact: Contact, recorded: Any) -> Contact:
        return contact if recorded.type == "contact.reinstated" else real(contact, recorded)

    monkeypatch.setattr(module, "fold", forgetful)
    with pytest.raises(AssertionError):
        await test_at_every_moment_it_shows_what_a_query_as_of_then_shows(desk, 0)


@pytest.mark.parametrize("seed", range(10, 13))
async def test_every_shown_value_has_an_origin_that_says_so(desk: Desk, seed: int) -> None:
    story = Story(desk, seed)
    await story.play()
    for contact in story.contacts:
        shown = await desk.as_of(contact, await desk.head())
        assert shown is not None
        fields = await desk.provenance(contact)
        for name in ("first_name", "last_name", "email", "attributes.plan"):
            found = fields.get(name)
            assert (found.value if found else None) == value_of(shown, name), (contact, name)
            if found and found.value is not None and found.contact is not None:
                assert value_of(await own(desk, found.contact), name) == found.value
                assert (found.merge is None) == (found.contact == shown.id)
        assert {f.value for f in fields.values() if f.field == "tags" and f.value} == set(shown.tags)
        tokens = {f.value.token for f in fields.values() if f.field == "channels" and f.value}
        assert tokens == {channel.token for channel in shown.channels}
        consent = shown.standing.consents.get("email") if shown.standing else None
        assert (fields["consents.email"].value if "consents.email" in fields else None) == consent


async def own(desk: Desk, contact_id: UUID) -> Contact:
    """What a contact says itself."""
    return await desk.contacts.components.load(desk.workspace.id, contact_id)


@pytest.mark.parametrize("seed", range(20, 22))
async def test_the_events_of_a_difference_are_what_made_it(desk: Desk, seed: int) -> None:
    """The difference of two moments is put together from those in between, and every changed field names its causes."""
    story = Story(desk, seed)
    await story.play()
    for contact in story.contacts[:3]:
        for _ in range(10):
            after, upto = sorted(story.chance.sample(story.positions, 2))
            then, now = await desk.as_of(contact, after), await desk.as_of(contact, upto)
            if now is None:
                with pytest.raises(errors.ContactNotFound):
                    await desk.diff(contact, after, upto)
                continue
            found = await desk.diff(contact, after, upto)
            base = then or initial(contact)
            wanted = [*difference(base, now), *standing_difference(base, now)]
            assert [(f.field, f.before, f.after) for f in found.fields] == [(w.field, w.old, w.new) for w in wanted]
            assert all(field.events for field in found.fields)
            positions = {int(e.position.partition(".")[2]) for field in found.fields for e in field.events}
            assert all(after < position <= upto for position in positions)
