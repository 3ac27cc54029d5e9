// Where everything is, from the environment, and one way of connecting for the three examples.

import { connect, type NatsConnection } from "@nats-io/transport-node";

function needed(name: string): string {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
  return value;
}

const url = new URL(needed("ROLLBOOK_NATS_URL"));

export const workspace = needed("ROLLBOOK_WORKSPACE");
export const user = decodeURIComponent(url.username) || "example";

export function apiKey(): string {
  return needed("ROLLBOOK_KEY");
}

/** Comes back from every outage; `waitOnFirstConnect` also from one at the start. */
export function connected(): Promise<NatsConnection> {
  return connect({
    servers: url.host,
    user,
    pass: decodeURIComponent(url.password),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    waitOnFirstConnect: true,
    // A user hears its own inbox only.
    inboxPrefix: `_INBOX_${user}`,
  });
}
