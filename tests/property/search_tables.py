"""The read models of random people, written straight into their tables, at two moments; and filters asked of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec

from contacts.activity.folding import folded_texts
from contacts.activity.kinds import category_of
from contacts.activity.projection import COLUMNS as ACTIVITY_COLUMNS
from contacts.catalog import PROJECTIONS
from contacts.contact.filtering import Parameters
from contacts.contact.row import COLUMNS, row_of
from contacts.engagement.row import COLUMNS as ENGAGED_COLUMNS
from contacts.engagement.row import SEPARATOR, columns_of
from contacts.engagement.state import Engagement
from contacts.smartsearch.compile import compile_node
from contacts.smartsearch.moment import Moment
from contacts.smartsearch.nodes import Node
from eventstore import builds
from tests.property.search_model import Happened, Person

FOREVER: Final = 2**63 - 1
MONTH: Final = "activity_2026_10"
_json: Final = msgspec.json.Encoder().encode

#: People by contact id.
People = Mapping[UUID, Person]
#: What is done to the text of a condition: a bug to be found.
Bug = Callable[[str], str]


class Tables:
    """One connection; every population is a workspace of its own."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def fill(self, then: People, now: People, position: int) -> UUID:
        """People as they were at `position`, and as they are since the position after it. Answers the workspace."""
        workspace_id = uuid4()
        rows = [row_of(person.contact, workspace_id, position) for person in now.values()]
        await self.connection.copy_records_to_table("contact", schema_name="rm_contact", records=rows, columns=COLUMNS)
        for people, first, last, table in (
            (then, 1, position + 1, "contact_history_past"), (now, position + 1, FOREVER, "contact_history_now"),
        ):  # fmt: skip
            at = datetime(2026, 1, 1)  # noqa: DTZ001
            records = [
                (*row_of(person.contact, workspace_id, first), True, first, at.astimezone(), last, at.astimezone())
                for person in people.values()
            ]
            columns = (*COLUMNS, "search_is_new", "from_position", "from_time", "to_position", "to_time")
            await self.connection.copy_records_to_table(
                table, schema_name="rm_history", records=records, columns=columns
            )
        await self._fill_engagement(workspace_id, then, now, position)
        await self._fill_activity(workspace_id, now)
        await self._fill_members(workspace_id, now)
        return workspace_id

    async def _fill_engagement(self, workspace_id: UUID, then: People, now: People, position: int) -> None:
        present = [
            (workspace_id, id_, position + 1, *_engaged(person.engagement), b"")
            for id_, person in now.items()
            if person.engagement
        ]
        await self.connection.copy_records_to_table(
            "engagement", schema_name="rm_engagement", records=present,
            columns=("workspace_id", "contact_id", "from_position", *ENGAGED_COLUMNS, "own"),
        )  # fmt: skip
        at = datetime(2026, 1, 1).astimezone()
        past = [
            (workspace_id, id_, first, last, at, at, *_engaged(person.engagement))
            for people, first, last in ((then, 1, position + 1), (now, position + 1, FOREVER))
            for id_, person in people.items()
            if person.engagement
        ]
        await self.connection.copy_records_to_table(
            "engagement_history", schema_name="rm_engagement", records=past,
            columns=(
                "workspace_id", "contact_id", "from_position", "to_position", "from_time", "to_time", *ENGAGED_COLUMNS
            ),
        )  # fmt: skip

    async def _fill_members(self, workspace_id: UUID, now: People) -> None:
        members = [
            (workspace_id, member, root, b"")
            for root, person in now.items()
            for member in (root, *person.contact.absorbed)
            if person.contact.absorbed
        ]
        await self.connection.copy_records_to_table(
            "contact_member", schema_name="rm_contact", records=members,
            columns=("workspace_id", "contact_id", "root_id", "state"),
        )  # fmt: skip

    async def _fill_activity(self, workspace_id: UUID, now: People) -> None:
        records = [
            _activity(workspace_id, _recorded_for(person, each), each)
            for person in now.values()
            for each in person.happened
        ]
        await self.connection.copy_records_to_table(
            "activity", schema_name="rm_activity", records=records, columns=ACTIVITY_COLUMNS
        )

    async def ask(
        self, workspace_id: UUID, nodes: Sequence[Node], moment: Moment, segments: Mapping[UUID, Node],
        bug: Bug = lambda condition: condition, *, everybody: bool = False,
    ) -> dict[UUID, list[bool]]:  # fmt: skip
        """For every contact which of the filters hold, all in one statement."""
        parameters = Parameters(first=2)
        conditions = [
            bug(
                compile_node(
                    node,
                    moment=moment,
                    parameters=parameters,
                    definitions=segments,
                    workspace="$1" if everybody else None,
                )
            )
            for node in nodes
        ]
        relation, then = "rm_contact.own_contact", ""
        if moment.position is not None:
            relation = "rm_history.own_contact_history"
            at = parameters.add(moment.position, "bigint")
            then = f" AND c.from_position <= {at} AND c.to_position > {at}"
        asked = ", ".join(f"coalesce({condition}, FALSE)" for condition in conditions)
        statement = f"SELECT c.contact_id, ARRAY[{asked}] AS held FROM {relation} AS c WHERE c.workspace_id = $1{then}"
        async with self.connection.transaction():
            await self.connection.execute(f"SET LOCAL rollbook.workspace_id = '{workspace_id}'")
            rows = await self.connection.fetch(statement, workspace_id, *parameters.values)
        return {row["contact_id"]: row["held"] for row in rows}


def _engaged(engagement: Engagement) -> tuple[object, ...]:
    """Labels as COPY takes them."""
    labels = ENGAGED_COLUMNS.index("labels")
    columns = list(columns_of(engagement))
    columns[labels] = [label for label in str(columns[labels]).split(SEPARATOR) if label]
    return tuple(columns)


def _recorded_for(person: Person, happened: Happened) -> UUID:
    """Some of what a profile shows was recorded for a contact that it absorbed."""
    members = (person.contact.id, *person.contact.absorbed)
    return members[happened.position % len(members)]


def _activity(workspace_id: UUID, contact_id: UUID, each: Happened) -> tuple[Any, ...]:
    folded = folded_texts(each.data)
    return (
        workspace_id, contact_id, each.at, each.at, each.position, category_of(each.kind), str(each.position), "s",
        each.kind, "{}", _json(each.data).decode(), _json(folded).decode() if folded else None,
    )  # fmt: skip


@asynccontextmanager
async def open_tables(database: str) -> AsyncIterator[Tables]:
    connection = await asyncpg.connect(database, server_settings={"jit": "off"})
    await builds.ensure_builds(connection, PROJECTIONS)
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    # All that happens is in the months around.
    await connection.execute(
        f"CREATE TABLE rm_activity.{MONTH} PARTITION OF rm_activity.activity"
        " FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2030-01-01 00:00:00+00')"
    )
    yield Tables(connection)
    await connection.close()
