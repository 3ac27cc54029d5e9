"""Each event as a sentence for somebody who knows neither the program nor its events: who did what and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from contacts.audit import words
from contacts.audit.chronicle import Step
from contacts.audit.words import Names, because, channel, listed, value
from contacts.consent import events as consent
from contacts.contact import events as e
from contacts.contact.changes import FieldChange
from contacts.contact.composition import PLAIN_FIELDS
from contacts.proof import ProofDestroyed, ProofRecorded
from contacts.suppression import events as suppression
from eventstore.envelope import Unreadable

Said: TypeAlias = str | tuple[str, str]
"""What was done, and what stands behind the way it was done."""
#: Of a channel whose device got a new token.
REPLACED: Final = "replaced"
_CHANGED: Final = frozenset({*PLAIN_FIELDS, "lists", "categories", "tags"})


def sentence(step: Step, names: Names, proof: ProofRecorded | None, *, own_workspace: bool) -> str:
    """`proof` has the words beside a fact about an address, where they can still be read."""
    recorded = step.recorded
    who = names.actor(recorded.metadata.actor) if own_workspace else "another workspace of this installation"
    if isinstance(recorded.event, Unreadable):
        done = f"{recorded.type.partition('.')[2].replace('_', ' ')}: what it said was erased"
        return f"{_capital(who or 'somebody')} made a change ({done})."
    say = SAY.get(type(recorded.event))
    said = f"recorded “{recorded.type}”" if say is None else say(recorded.event, step, names)
    done, tail = said if isinstance(said, tuple) else (said, "")
    at = f" at “{proof.address}”" if proof and step.contact is None else ""
    through = words.way(recorded.metadata.source) if own_workspace else ""
    return f"{_capital(who or 'somebody')} {done}{at}{through}{tail}{because(_reason(recorded.event, proof))}."


def _reason(event: Any, proof: ProofRecorded | None) -> str | None:
    if proof is not None:
        return proof.reason
    # A code, and told by the sentence itself.
    coded = isinstance(event, e.ContactErased) or getattr(event, "reason", None) == REPLACED
    return None if coded else getattr(event, "reason", None)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- contacts ---------------------------------------------------------------------------------------------------------


def _created(event: e.ContactCreated, step: Step, names: Names) -> Said:
    told = [change for change in step.own if _is_told(change) and change.new not in (None, ())]
    given = [f"{words.field(change.field)} {_value(change.field, change.new, names)}" for change in told]
    attested = ", and vouched for the person's consent" if event.consent_attested else ""
    return f"created {_subject(step, names)}", f"{f' with {listed(given)}' if given else ''}{attested}"


def _is_told(change: FieldChange) -> bool:
    return change.field in _CHANGED or change.field.startswith("attributes.") or change.field == "channels"


def _details_changed(_event: Any, step: Step, names: Names) -> Said:
    done = [_change(change, names) for change in step.own if _is_told(change)]
    return f"edited {_subject(step, names)}", f": {listed(done)}" if done else ""


def _change(change: FieldChange, names: Names) -> str:
    name = words.field(change.field)
    if isinstance(change.new, tuple):
        added = tuple(each for each in change.new if each not in change.old)
        removed = tuple(each for each in change.old if each not in change.new)
        done = [f"added {_value(change.field, added, names)} to the {name}"] if added else []
        return listed([*done, *([f"took {_value(change.field, removed, names)} out of the {name}"] if removed else [])])
    if change.old is None:
        return f"set {name} to {value(change.new)}"
    if change.new is None:
        return f"cleared {name} (it was {value(change.old)})"
    return f"changed {name} from {value(change.old)} to {value(change.new)}"


def _value(field: str, held: Any, names: Names) -> str:
    return value(names.lists(held)) if field == "lists" else value(held)


def _subject(step: Step, names: Names) -> str:
    assert step.contact is not None
    return names.contact(step.contact)


def _things(one: str, many: str, of: Iterable[Any]) -> str:
    things = [value(each) for each in of]
    return f"{one if len(things) == 1 else many} {listed(things)}"


def _tagged(event: e.ContactTagged, step: Step, names: Names) -> str:
    return f"gave {_subject(step, names)} {_things('the tag', 'the tags', event.tags)}"


def _untagged(event: e.ContactUntagged, step: Step, names: Names) -> str:
    return f"took {_things('the tag', 'the tags', event.tags)} from {_subject(step, names)}"


def _listed(event: e.ContactListed, step: Step, names: Names) -> str:
    return f"put {_subject(step, names)} on {_things('the list', 'the lists', names.lists(event.lists))}"


def _unlisted(event: e.ContactUnlisted, step: Step, names: Names) -> str:
    return f"took {_subject(step, names)} off {_things('the list', 'the lists', names.lists(event.lists))}"


def _connected(event: e.ContactChannelConnected, step: Step, names: Names) -> str:
    return f"connected {_subject(step, names)} on {value(event.channel)}"


def _seen(event: e.ContactChannelSeen, step: Step, names: Names) -> str:
    return f"saw {_subject(step, names)} on {channel(event.kind)} at {value(event.seen_at)}"


def _disconnected(event: e.ContactChannelDisconnected, step: Step, names: Names) -> Said:
    tail = ", for the device has a new one" if event.reason == REPLACED else ""
    return f"disconnected {_subject(step, names)} from {channel(event.kind)} “{event.token}”", tail


def _blocked(event: e.ContactBlocked, step: Step, names: Names) -> str:
    return f"blocked {_subject(step, names)}"


def _unblocked(event: e.ContactUnblocked, step: Step, names: Names) -> str:
    return f"unblocked {_subject(step, names)}"


def _deleted(event: e.ContactDeleted, step: Step, names: Names) -> str:
    return f"deleted {_subject(step, names)}"


def _restored(event: e.ContactRestored, step: Step, names: Names) -> Said:
    without = listed(
        f"the {words.field(each.field)} of {names.contact(each.contact)}, which {names.contact(each.holder)} has now"
        for each in event.released
    )
    return f"restored {_subject(step, names)}", f" without {without}" if without else ""


def _merged(event: e.ContactMerged, step: Step, names: Names) -> Said:
    chosen = listed(f"{words.field(field)} of {names.contact(of)}" for field, of in sorted(event.choices.items()))
    choice = f", showing {chosen}" if chosen else ""
    done = f"merged {names.contacts(event.others)} into {_subject(step, names)}"
    return done, f"{choice} (merge {event.merge_id})"


def _absorbed(event: e.ContactAbsorbed, step: Step, names: Names) -> Said:
    return f"made {_subject(step, names)} part of {names.contact(event.into)}", f" (merge {event.merge_id})"


def _unmerged(event: e.ContactUnmerged, step: Step, names: Names) -> Said:
    how = "alone" if event.mode == "single" else "with all that had been merged into it"
    out_of = _subject(step, names)
    return f"took {names.contacts(event.contacts)} out of {out_of} again", f", {how} (merge {event.merge_id})"


def _reinstated(event: e.ContactReinstated, step: Step, names: Names) -> Said:
    out_of = names.contact(event.out_of)
    return f"had {_subject(step, names)} stand for itself again, out of {out_of}", f" (merge {event.merge_id})"


def _erased(event: e.ContactErased, step: Step, names: Names) -> Said:
    why = words.erasure_reason(event.reason)
    done = f"erased all personal data of {_subject(step, names)}"
    return done, f", because {why} (certificate {event.erasure_id})"


# -- addresses --------------------------------------------------------------------------------------------------------


def _granted(event: consent.ConsentGranted, _step: Step, _names: Names) -> str:
    return f"recorded the person's consent to {channel(event.channel)}"


def _withdrawn(event: consent.ConsentWithdrawn, _step: Step, _names: Names) -> str:
    return f"recorded that the person wants nothing more by {channel(event.channel)}"


def _from_all(_event: consent.UnsubscribedFromAll, _step: Step, _names: Names) -> str:
    return "recorded that the person wants nothing more at all"


def _requested(event: consent.DoubleOptInRequested, _step: Step, _names: Names) -> str:
    return f"asked the person to confirm {channel(event.channel)}"


def _confirmed(event: consent.DoubleOptInConfirmed, _step: Step, _names: Names) -> str:
    return f"recorded that the person confirmed {channel(event.channel)}"


def _reported(event: consent.SpamReported, _step: Step, _names: Names) -> str:
    return f"recorded that the person complained about spam by {channel(event.channel)}"


def _cleared(event: consent.SpamCleared, _step: Step, _names: Names) -> str:
    return f"took back the spam complaints about {channel(event.channel)}"


def _category_subscribed(event: consent.CategorySubscribed, _step: Step, _names: Names) -> str:
    return f"subscribed the person to {value(event.category)} by {channel(event.channel)}"


def _category_unsubscribed(event: consent.CategoryUnsubscribed, _step: Step, _names: Names) -> str:
    return f"unsubscribed the person from {value(event.category)} by {channel(event.channel)}"


def _blacklisted(event: suppression.AddressBlacklisted, _step: Step, _names: Names) -> str:
    cause = "" if event.cause == "manual" else f" after a {event.cause.replace('_', ' ')}"
    return f"put the {_family(event.family)} on the blacklist{cause}"


def _unblacklisted(event: suppression.AddressUnblacklisted, _step: Step, _names: Names) -> str:
    return f"took the {_family(event.family)} off the blacklist"


def _family(family: str) -> str:
    return "phone number" if family == "phone" else f"{channel(family)} address"


def _proof_destroyed(_event: ProofDestroyed, _step: Step, _names: Names) -> str:
    return "destroyed the proof of what was said about an address; what was said stands"


SAY: Final[dict[type, Callable[[Any, Step, Names], Said]]] = {
    e.ContactCreated: _created,
    e.ContactDetailsChanged: _details_changed,
    e.ContactTagged: _tagged,
    e.ContactUntagged: _untagged,
    e.ContactListed: _listed,
    e.ContactUnlisted: _unlisted,
    e.ContactChannelConnected: _connected,
    e.ContactChannelSeen: _seen,
    e.ContactChannelDisconnected: _disconnected,
    e.ContactBlocked: _blocked,
    e.ContactUnblocked: _unblocked,
    e.ContactDeleted: _deleted,
    e.ContactRestored: _restored,
    e.ContactMerged: _merged,
    e.ContactAbsorbed: _absorbed,
    e.ContactUnmerged: _unmerged,
    e.ContactReinstated: _reinstated,
    e.ContactErased: _erased,
    consent.ConsentGranted: _granted,
    consent.ConsentWithdrawn: _withdrawn,
    consent.UnsubscribedFromAll: _from_all,
    consent.DoubleOptInRequested: _requested,
    consent.DoubleOptInConfirmed: _confirmed,
    consent.SpamReported: _reported,
    consent.SpamCleared: _cleared,
    consent.CategorySubscribed: _category_subscribed,
    consent.CategoryUnsubscribed: _category_unsubscribed,
    suppression.AddressBlacklisted: _blacklisted,
    suppression.AddressUnblacklisted: _unblacklisted,
    ProofDestroyed: _proof_destroyed,
}
