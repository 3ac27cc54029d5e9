// Sends one activity of a contact in: `producer.js TYPE EMAIL DATA`. Safe to repeat with the same ID.

import { randomUUID } from "node:crypto";
import { jetstream } from "@nats-io/jetstream";
import { connected, workspace } from "./surroundings.js";

const [type, email, data = "{}"] = process.argv.slice(2);
const activity = {
  // The same id from the same source is recorded once, however often it is sent.
  id: process.env["ID"] ?? randomUUID(),
  source: "example",
  type,
  time: new Date().toISOString(),
  contact: { email },
  data: JSON.parse(data) as unknown,
};

const connection = await connected();
// With JetStream's acknowledgement it is kept, and recorded sooner or later.
await jetstream(connection).publish(`rollbook.inbox.v1.${workspace}.${type}`, JSON.stringify(activity));
await connection.close();
console.log(activity.id);
