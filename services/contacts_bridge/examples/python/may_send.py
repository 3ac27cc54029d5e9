"""Asks whether messages may be sent: `may_send.py CHANNEL ADDRESS …`. Exit code 1 where one may not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from urllib.parse import urlsplit

import nats

URL = os.environ["ROLLBOOK_NATS_URL"]
WORKSPACE = os.environ["ROLLBOOK_WORKSPACE"]
KEY = os.environ["ROLLBOOK_KEY"]
USER = urlsplit(URL).username or "asker"


async def main(channel: str, addresses: list[str]) -> int:
    client = await nats.connect(URL, inbox_prefix=f"_INBOX_{USER}")
    try:
        question = json.dumps({"channel": channel, "addresses": addresses}).encode()
        reply = await client.request(
            f"rollbook.svc.v1.{WORKSPACE}.may-send", question, timeout=5, headers={"Rollbook-Key": KEY}
        )
    finally:
        await client.close()
    answer = json.loads(reply.data)
    if reply.headers and "Nats-Service-Error" in reply.headers:
        # A problem as over HTTP: type, title, status, detail, errors.
        print(f"{answer['title']}: {answer['detail']}", file=sys.stderr)
        return 2
    for address, verdict in zip(addresses, answer["items"], strict=True):
        print(f"{address}: {'yes' if verdict['allowed'] else 'no, ' + verdict['reason']}")
    return 0 if all(verdict["allowed"] for verdict in answer["items"]) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
