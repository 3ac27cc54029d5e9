// Asks whether messages may be sent: `may_send.js CHANNEL ADDRESS …`. Exit code 1 where one may not.

import { headers } from "@nats-io/transport-node";
import { apiKey, connected, workspace } from "./surroundings.js";

interface Verdict {
  allowed: boolean;
  reason: string | null;
  position: string;
}

interface Problem {
  title: string;
  detail: string;
}

const [channel, ...addresses] = process.argv.slice(2);
const connection = await connected();
const sent = headers();
sent.set("Rollbook-Key", apiKey());
const reply = await connection.request(
  `rollbook.svc.v1.${workspace}.may-send`,
  JSON.stringify({ channel, addresses }),
  { timeout: 5000, headers: sent },
);
await connection.close();

if (reply.headers?.has("Nats-Service-Error")) {
  // A problem as over HTTP: type, title, status, detail, errors.
  const problem = reply.json<Problem>();
  console.error(`${problem.title}: ${problem.detail}`);
  process.exit(2);
}
const { items } = reply.json<{ items: Verdict[] }>();
addresses.forEach((address, number) => {
  const verdict = items[number];
  console.log(`${address}: ${verdict?.allowed ? "yes" : `no, ${verdict?.reason}`}`);
});
process.exit(items.every((verdict) => verdict.allowed) ? 0 : 1);
