"""Builds recorders and mapper from an application's environment; the settings are listed on LogFactory. No I/O."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar, cast
from uuid import UUID

from eventsourcing.domain import TAggregateID
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Mapper,
    ProcessRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from eventstore.cipher import Keyring
from eventstore.facade.log import ApplicationLog, Attachment
from eventstore.facade.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogSnapshotRecorder,
    LogTrackingRecorder,
)
from eventstore.mapper import MsgspecMapper

R = TypeVar("R")


class LogFactory(InfrastructureFactory[LogTrackingRecorder]):
    """Each setting can be given for one application, as the library does it: prefixed with its name in capitals."""

    #: Address of the migrated database; required.
    DATABASE_URL = "ROLLBOOK_DATABASE_URL"
    #: Python path of a `Keyring`, or of a function that makes one of the environment. It opens the payloads of an
    #: attached category; without it they are refused, and the rest works.
    KEYRING_TOPIC = "KEYRING_TOPIC"
    #: The workspace and category to attach to: the application then shares that workspace's lane and also reads that
    #: category. Without them it has a lane to itself.
    ATTACH_WORKSPACE = "ROLLBOOK_ATTACH_WORKSPACE"
    ATTACH_CATEGORY = "ROLLBOOK_ATTACH_CATEGORY"
    #: Python paths of a `Codec`, and of a mapping of category to `Fold`.
    CODEC_TOPIC = "EVENT_CODEC_TOPIC"
    FOLDS_TOPIC = "EVENT_FOLDS_TOPIC"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        dsn = self.env.get(self.DATABASE_URL)
        if not dsn:
            raise OSError(f"{self.DATABASE_URL} is not in the environment of {self.env.name or 'the application'}")
        self._log = ApplicationLog(dsn, self._keyring(), self.env.name or "Application", self._attachment())

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return LogSnapshotRecorder(self._log) if purpose == "snapshots" else LogAggregateRecorder(self._log)

    def application_recorder(self) -> ApplicationRecorder:
        return self._class(self.APPLICATION_RECORDER_TOPIC, LogApplicationRecorder)(self._log)

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        return (tracking_recorder_class or self._class(self.TRACKING_RECORDER_TOPIC, LogTrackingRecorder))(self._log)

    def process_recorder(self) -> ProcessRecorder:
        return self._class(self.PROCESS_RECORDER_TOPIC, LogProcessRecorder)(self._log)

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[TAggregateID]] | None = None
    ) -> Mapper[TAggregateID]:
        if mapper_class is not None or self.env.get(self.MAPPER_TOPIC):
            return super().mapper(transcoder, mapper_class)
        mapper = MsgspecMapper(
            transcoder or self.transcoder(),
            self.compressor(),
            self.cipher(),
            codec=self._resolve(self.CODEC_TOPIC),
            folds=self._resolve(self.FOLDS_TOPIC),
        )
        return cast("Mapper[TAggregateID]", mapper)

    def close(self) -> None:
        self._log.close()

    def _class(self, setting: str, default: type[R]) -> type[R]:
        found: Any = self._resolve(setting) or default
        if not issubclass(found, default):
            raise TypeError(f"{setting}: {found.__qualname__} is not a {default.__name__}")
        return cast("type[R]", found)

    def _resolve(self, setting: str) -> Any:
        topic = self.env.get(setting)
        return resolve_topic(topic) if topic else None

    def _keyring(self) -> Keyring:
        found = self._resolve(self.KEYRING_TOPIC)
        if found is None:
            return Keyring.from_secret(secrets.token_bytes(32))
        keyring = found if isinstance(found, Keyring) else found(self.env)
        if not isinstance(keyring, Keyring):
            raise TypeError(f"{self.KEYRING_TOPIC} does not lead to a Keyring")
        return keyring

    def _attachment(self) -> Attachment | None:
        workspace, category = self.env.get(self.ATTACH_WORKSPACE), self.env.get(self.ATTACH_CATEGORY)
        if not workspace and not category:
            return None
        if not (workspace and category):
            raise OSError(f"{self.ATTACH_WORKSPACE} and {self.ATTACH_CATEGORY} belong together")
        return Attachment(UUID(workspace), category)
