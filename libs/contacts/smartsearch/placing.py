"""What all parts of a compiled filter share: parameters, the relations of the moment, and instants of local times."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import msgspec

from contacts.contact.filtering import Parameters
from contacts.smartsearch.moment import Moment, instants_by_zone, to_instant, today, todays_by_zone
from contacts.smartsearch.nodes import CONTACT, WORKSPACE, Bound, Range

#: Of the contact `c` itself; of those it absorbed; of both.
OWN: Final = "a.workspace_id = c.workspace_id AND a.contact_id = c.contact_id"
ABSORBED: Final = "a.workspace_id = c.workspace_id AND a.contact_id = ANY (c.absorbed)"
ALL_OF_IT: Final = "a.workspace_id = c.workspace_id AND a.contact_id = ANY (array_append(c.absorbed, c.contact_id))"

#: Turns a bound into SQL.
Bounds = Callable[[Bound], str]
_json: Final = msgspec.json.Encoder().encode


class Placing:
    """One per statement."""

    def __init__(self, moment: Moment, parameters: Parameters, workspace: str | None = None) -> None:
        """With `workspace`, a parameter, what is asked is asked of everybody in it."""
        self.moment = moment
        self.workspace = workspace
        self._parameters = parameters
        self._known: dict[Hashable, str] = {}

    def add(self, value: object, type_: str) -> str:
        """The name of a parameter with this value. `type_` is a type of PostgreSQL."""
        key = (type_, type(value), tuple(value) if isinstance(value, list) else value)
        if key not in self._known:
            self._known[key] = self._parameters.add(value, type_)
        return self._known[key]

    def path(self, path: tuple[str, ...]) -> str:
        return self.add(list(path), "text[]")

    # -- relations ----------------------------------------------------------------------------------------------------

    def engaged(self, condition: str) -> str:
        """A condition on `e`, the engagement of the contact `c`; not true where it has none."""
        return f"EXISTS (SELECT {self._engagement()} AND {condition})"

    def engagement_value(self, expression: str) -> str:
        """An expression of `e`; NULL where the contact has none."""
        return f"(SELECT {expression} {self._engagement()})"

    def _engagement(self) -> str:
        relation, then = "rm_engagement.own_engagement", ""
        if self.moment.position is not None:
            relation, at = "rm_engagement.own_engagement_history", self.add(self.moment.position, "bigint")
            then = f" AND e.from_position <= {at} AND e.to_position > {at}"
        return f"FROM {relation} AS e WHERE e.workspace_id = c.workspace_id AND e.contact_id = c.contact_id{then}"

    def activity(self, whose: str) -> str:
        """FROM and WHERE of `a`, the activities of those whose they are by a condition on `a`."""
        return f"FROM rm_activity.activity AS a WHERE {whose}{self._known_then()}"

    def everything(self) -> str:
        """FROM and WHERE of `a`, everybody's activities; with whom `m` says who stands for whom."""
        members = ""
        if self.moment.position is None:
            members = (
                " LEFT JOIN rm_contact.contact_member AS m"
                " ON m.workspace_id = a.workspace_id AND m.contact_id = a.contact_id"
            )
        return f"FROM rm_activity.activity AS a{members} WHERE a.workspace_id = {self.workspace}{self._known_then()}"

    def composed(self) -> str:
        """All who had absorbed somebody in the past that is asked for."""
        assert self.moment.position is not None
        at = self.add(self.moment.position, "bigint")
        return (
            f"SELECT h.contact_id FROM rm_history.contact_history AS h WHERE h.workspace_id = {self.workspace}"
            f" AND h.absorbed IS NOT NULL AND h.from_position <= {at} AND h.to_position > {at}"
        )

    @property
    def whose(self) -> str:
        """The profile that an activity out of `everything` counts for; in the past only if nobody was absorbed."""
        return "a.contact_id" if self.moment.position is not None else "COALESCE(m.root_id, a.contact_id)"

    def _known_then(self) -> str:
        position = self.moment.position
        return "" if position is None else f" AND a.position <= {self.add(position, 'bigint')}"

    # -- bounds -------------------------------------------------------------------------------------------------------

    def instants(self, zone: str) -> Bounds:
        return lambda bound: self._instant(bound, zone)

    def _instant(self, bound: Bound, zone: str) -> str:
        assert isinstance(bound, datetime)
        if bound.tzinfo is not None:
            return self.add(bound, "timestamptz")
        fixed = self.add(to_instant(bound, self.zone(zone)), "timestamptz")
        if zone != CONTACT:
            return fixed
        return f"COALESCE({self._by_zone(instants_by_zone(bound))}::timestamptz, {fixed})"

    def days(self, zone: str) -> Bounds:
        """Days are compared as the texts they are stored as."""
        return lambda bound: self.add(str(bound), "text")

    def day_before_now(self, zone: str, days: Callable[[date], date]) -> str:
        """What `days` makes of the day that it is."""
        now = self.moment.now
        fixed = self.add(days(today(now, self.zone(zone))).isoformat(), "text")
        if zone != CONTACT:
            return fixed
        return f"COALESCE({self._by_zone({name: days(day) for name, day in todays_by_zone(now).items()})}, {fixed})"

    def _by_zone(self, values: Mapping[str, date]) -> str:
        return f"({self.add(_json(values).decode(), 'jsonb')} ->> c.time_zone)"

    def zone(self, zone: str) -> str:
        """Whose zone is meant where it is not the contact's own, or where the contact has none."""
        return self.moment.time_zone if zone in (WORKSPACE, CONTACT) else zone

    def numerics(self, bound: Bound) -> str:
        """Exact, as numbers in JSON are."""
        return self.add(Decimal(repr(bound)), "numeric")

    def floats(self, bound: Bound) -> str:
        assert isinstance(bound, int | float)
        return self.add(float(bound), "double precision")


def in_range(expression: str, wanted: Range, bounds: Bounds) -> str:
    """NULL where the expression is."""
    ends = []
    if wanted.low is not None:
        ends.append(f"{expression} {'>' if wanted.low_open else '>='} {bounds(wanted.low)}")
    if wanted.high is not None:
        ends.append(f"{expression} {'<' if wanted.high_open else '<='} {bounds(wanted.high)}")
    inside = " AND ".join(ends)
    return f"NOT ({inside})" if wanted.outside else f"({inside})"
