"""Sends one activity of a contact in: `producer.py TYPE EMAIL DATA`. Safe to repeat with the same ID."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

import nats

URL = os.environ["ROLLBOOK_NATS_URL"]
WORKSPACE = os.environ["ROLLBOOK_WORKSPACE"]
USER = urlsplit(URL).username or "producer"


async def main(type_: str, email: str, data: str) -> None:
    activity = {
        # The same id from the same source is recorded once, however often it is sent.
        "id": os.environ.get("ID") or str(uuid4()),
        "source": "example",
        "type": type_,
        "time": datetime.now(UTC).isoformat(),
        "contact": {"email": email},
        "data": json.loads(data),
    }
    client = await nats.connect(URL, inbox_prefix=f"_INBOX_{USER}")
    try:
        # With JetStream's acknowledgement it is kept, and recorded sooner or later.
        subject = f"rollbook.inbox.v1.{WORKSPACE}.{type_}"
        await client.jetstream().publish(subject, json.dumps(activity).encode())
    finally:
        await client.close()
    print(activity["id"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "{}"))
