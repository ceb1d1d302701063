// Which events of the hub's journal are shown.
import { test } from "tap";
import { readHubEvent } from "./hub-events.ts";

const entry = (name: string, detail: object): string => JSON.stringify({ n: 1, event: "journal", name, detail });

test("a request is shown with id and fingerprint", async (t) => {
  const detail = { id: "GW-1", fingerprint: "sha256:00", address: "127.0.0.1" };
  t.same(readHubEvent(entry("device.requested", detail)), { kind: "request", id: "GW-1", fingerprint: "sha256:00" });
  t.equal(readHubEvent(entry("device.requested", { id: "GW-1" })), undefined);
});

test("the outcome of an update is shown with its reason, and cannot move the cursor", async (t) => {
  t.same(readHubEvent(entry("update.rolled-back", { target: "os/gateway-3.0.0.json", reason: "deadline:\u001B[2J agent" })), {
    kind: "said",
    text: "update ROLLED BACK: os/gateway-3.0.0.json, deadline:?[2J agent",
  });
  t.same(readHubEvent(entry("certificate.issued", { serial: "61" })), { kind: "said", text: "hub issues its certificate" });
});

test("nothing else is shown: other entries, the first line, lines of stderr", async (t) => {
  for (const line of [
    entry("connection.mqtt-version", {}),
    '{"event":"ready","pid":1}',
    "sallyport-hub: hub.store-failed: full",
    "",
  ])
    t.equal(readHubEvent(line), undefined, line);
});
