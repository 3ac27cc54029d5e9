"""The API process of the HTTP benchmark: the real application with a POST that does nothing, and a stock one beside."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, cast

from litestar import Litestar, post

from contacts.contact.input import NewContactInput
from contacts.workspace.permissions import Action
from contacts_api.answer import Answer, json_answer
from contacts_api.app import create_app
from contacts_api.endpoint import Endpoint, Nothing, Returns, endpoint
from contacts_api.request import Call
from contacts_api.server import listen, serving
from contacts_api.services import open_services
from servicekit.run import Stop, run

if TYPE_CHECKING:
    from contacts_api.edge import Edge
    from servicekit.settings import Settings


@endpoint(
    "POST",
    "/v1/nothing",
    action=Action.CONTACTS_WRITE,
    tag="Benchmark",
    returns=Returns(201, "Nothing was done"),
)
async def do_nothing(call: Call[Nothing, Nothing, NewContactInput]) -> Answer:
    """Authenticated, decoded into the same struct, counted and answered, and forgotten."""
    return json_answer(201, call.body)


ENDPOINTS: tuple[Endpoint, ...] = (do_nothing,)


@post("/v1/nothing")
async def stock_nothing(data: NewContactInput) -> NewContactInput:
    """As anyone would write it with Litestar: no credentials, no headers of ours, no counting."""
    return data


async def _serve(settings: Settings, stop: Stop) -> None:
    stock = Litestar([stock_nothing], openapi_config=None, logging_config=None)
    with (
        closing(listen("127.0.0.1", int(sys.argv[1]))) as sock,
        closing(listen("127.0.0.1", int(sys.argv[2]))) as other,
    ):
        async with (
            open_services(settings) as services,
            serving(create_app(services, more=ENDPOINTS), sock, grace_s=1),
            serving(cast("Edge", stock), other, grace_s=1),
        ):
            print("ready", file=sys.stderr, flush=True)
            await stop.wait()


if __name__ == "__main__":
    run("api", _serve, needed=("database_url", "master_key"))
