"""What events call people: the same for the same person of one workspace, and nothing that says who it is."""

from __future__ import annotations

from uuid import UUID

import pytest

from contacts.audit.words import Names
from contacts.workspace.actors import DIGEST, people, user_actor
from contacts.workspace.state import Workspace
from tests.support.sample import keyring
from tests.unit.contact.examples import ANN, WORKSPACE_ID

OTHER = UUID("01900000-0000-7000-8000-000000000002")
HMAC = keyring().hmac


@pytest.mark.parametrize("subject", ["anna", "anna@example.com", "é" * 100, "auth0|5f7c", "a" * 26])
def test_a_person_is_a_digest(subject: str) -> None:
    kind, _, digest = user_actor(HMAC, WORKSPACE_ID, subject).partition(":")
    assert (kind, subject in digest) == ("user", False)
    assert DIGEST.fullmatch(digest)


def test_people_differ_by_id_and_by_workspace() -> None:
    actors = {user_actor(HMAC, workspace, subject) for workspace in (WORKSPACE_ID, OTHER) for subject in ("a", "b")}
    assert len(actors) == 4
    assert user_actor(HMAC, WORKSPACE_ID, "a") in actors


def test_members_are_named_and_others_told_apart() -> None:
    names = Names(Workspace(id=WORKSPACE_ID, version=1), ANN, people=people(HMAC, WORKSPACE_ID, ["anna@example.com"]))
    assert names.actor(user_actor(HMAC, WORKSPACE_ID, "anna@example.com")) == "member “anna@example.com”"
    stranger = user_actor(HMAC, WORKSPACE_ID, "ben@example.com")
    assert names.actor(stranger) == f"user {stranger[5:13]}"


def test_ids_recorded_before_there_were_digests_are_names() -> None:
    assert Names(Workspace(id=WORKSPACE_ID, version=1), ANN).actor("user:anna") == "member “anna”"
