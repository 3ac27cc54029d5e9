"""The `eventsourcing` library's own recorder suites, run against the facade over our log; none of them is changed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.tests import persistence as suites
from eventsourcing.utils import Environment

from eventstore import facade


class OnTheLog:
    """Each test is an application of its own name, so that it has a lane of its own in the module's database."""

    factory: facade.LogFactory

    @pytest.fixture(autouse=True)
    def _application(self, module_database: str) -> Iterator[None]:
        self.env = environment(module_database)
        self.factory = facade.LogFactory(self.env)
        yield
        self.factory.close()


def environment(database: str) -> Environment:
    settings = {"PERSISTENCE_MODULE": "eventstore.facade", facade.LogFactory.DATABASE_URL: database}
    return Environment(f"Suite{secrets.token_hex(6)}", settings)


class TestAggregateRecorder(OnTheLog, suites.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder()


class TestAggregateRecorderOfVersionsFromZero(TestAggregateRecorder):
    INITIAL_VERSION = 0


class TestSnapshotRecorder(OnTheLog, suites.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder(purpose="snapshots")


class TestApplicationRecorder(OnTheLog, suites.ApplicationRecorderTestCase[ApplicationRecorder]):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationRecorderOfVersionsFromZero(OnTheLog, suites.ApplicationRecorderTestCase[ApplicationRecorder]):
    INITIAL_VERSION = 0

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTrackingRecorder(OnTheLog, suites.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.tracking_recorder()


class TestProcessRecorder(OnTheLog, suites.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return self.factory.process_recorder()


class TestProcessRecorderAsApplicationRecorder(OnTheLog, suites.ApplicationRecorderTestCase[ProcessRecorder]):
    def create_recorder(self) -> ProcessRecorder:
        return self.factory.process_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(OnTheLog, suites.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()


class DerivedTrackingRecorder(facade.LogTrackingRecorder):
    """What an application that keeps a view of its own would derive."""


class TestInfrastructureFactory(suites.InfrastructureFactoryTestCase[facade.LogFactory]):
    @pytest.fixture(autouse=True)
    def _environment(self, module_database: str) -> None:
        self.env = environment(module_database)

    def expected_factory_class(self) -> type[facade.LogFactory]:
        return facade.LogFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return facade.LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return facade.LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return facade.LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return DerivedTrackingRecorder

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return facade.LogProcessRecorder


def test_no_recorder_suite_of_the_library_is_left_out() -> None:
    shipped = {
        suite
        for suite in vars(suites).values()
        if isinstance(suite, type) and suite.__module__ == suites.__name__ and suite.__name__.endswith("Case")
    }
    ours = [value for value in globals().values() if isinstance(value, type)]
    run = {base for test in ours for base in test.__mro__}
    # The base class of them all has no tests, and the transcoder never meets a recorder.
    assert {suite.__name__ for suite in shipped - run} == {"TranscoderTestCase"}


def test_the_factory_is_found_by_the_name_of_its_module(module_database: str) -> None:
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(environment(module_database))
    assert type(factory) is facade.LogFactory
    factory.close()
