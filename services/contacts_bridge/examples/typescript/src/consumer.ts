// Follows the events of a workspace, one line of JSON each; goes on where it stopped, over every outage.

import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { connected, user, workspace } from "./surroundings.js";

const STREAM = "ROLLBOOK_EVENTS";
/** Whoever uses the same name shares the work; the name of the user is one it may use in any case. */
const NAME = process.env["CONSUMER"] ?? user;

interface RollbookEvent {
  id: string;
  type: string;
  subject: string;
  version: number;
}

const connection = await connected();
const versions = new Map<string, number>();

async function follow(): Promise<void> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  // The same name and settings: made where it is missing, else left as it is.
  await manager.consumers.add(STREAM, {
    name: NAME,
    durable_name: NAME,
    filter_subject: `rollbook.events.v1.${workspace}.>`,
    ack_policy: AckPolicy.Explicit,
    // One at a time. Of several on their way when the server dies, the later ones may come first.
    max_ack_pending: 1,
    // How soon what a dying server had on its way is given out again.
    ack_wait: nanos(5_000),
  });
  const consumer = await jetstream(connection, { checkAPI: false }).consumers.get(STREAM, NAME);
  for await (const message of await consumer.consume({ max_messages: 100 })) {
    const event = message.json<RollbookEvent>();
    if (event.version > (versions.get(event.subject) ?? 0)) {
      // Here the work is done. What is written is safe before it is acknowledged.
      versions.set(event.subject, event.version);
      process.stdout.write(JSON.stringify(event) + "\n");
    }
    message.ack();
  }
}

for (;;) {
  try {
    await follow();
  } catch (error) {
    console.error(`trying again: ${String(error)}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
}
