"""Follows the events of a workspace, one line of JSON each; goes on where it stopped, over every outage."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from urllib.parse import urlsplit

import nats
from nats.errors import Error as NATSError
from nats.js.api import AckPolicy, ConsumerConfig

STREAM = "ROLLBOOK_EVENTS"
URL = os.environ["ROLLBOOK_NATS_URL"]
WORKSPACE = os.environ["ROLLBOOK_WORKSPACE"]
USER = urlsplit(URL).username or "consumer"
#: Whoever uses the same name shares the work; the name of the user is one it may use in any case.
NAME = os.environ.get("CONSUMER", USER)
#: How soon what a dying server had on its way is given out again.
ACK_WAIT_S = 5


async def main() -> None:
    # The client gives up after two minutes unless told otherwise; a user hears its own inbox only.
    client = await nats.connect(URL, max_reconnect_attempts=-1, reconnect_time_wait=0.5, inbox_prefix=f"_INBOX_{USER}")
    stream = client.jetstream(timeout=5)
    config = ConsumerConfig(
        name=NAME,
        durable_name=NAME,
        filter_subject=f"rollbook.events.v1.{WORKSPACE}.>",
        ack_policy=AckPolicy.EXPLICIT,
        # One at a time. Of several on their way when the server dies, the later ones may come first.
        max_ack_pending=1,
        ack_wait=ACK_WAIT_S,
    )
    versions: dict[str, int] = {}
    subscription = None
    while True:
        try:
            if subscription is None:
                # The same name and settings: made where it is missing, else left as it is.
                await stream.add_consumer(STREAM, config)
                subscription = await stream.pull_subscribe_bind(NAME, stream=STREAM)
            [message] = await subscription.fetch(1, timeout=5)
            event = json.loads(message.data)
            if event["version"] > versions.get(event["subject"], 0):
                # Here the work is done. What is written is safe before it is acknowledged.
                versions[event["subject"]] = event["version"]
                print(json.dumps(event), flush=True)
            await message.ack()
        except TimeoutError:
            pass  # nothing new
        except (NATSError, OSError) as error:
            print(f"trying again: {error!r}", file=sys.stderr)
            subscription = None
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main())
