// What of the hub's journal is told at the console.
import { test } from "tap";
import { hubNews } from "./hub-news.ts";

const entry = (name: string, detail: object): string => JSON.stringify({ n: 1, event: "journal", name, detail });

test("a request comes with id and fingerprint", async (t) => {
  const detail = { id: "GW-1", fingerprint: "sha256:00", address: "127.0.0.1" };
  t.same(hubNews(entry("device.requested", detail)), { kind: "request", id: "GW-1", fingerprint: "sha256:00" });
  t.equal(hubNews(entry("device.requested", { id: "GW-1" })), undefined);
});

test("what became of an update is told with its reason, and can't move a cursor", async (t) => {
  t.same(hubNews(entry("update.rolled-back", { target: "os/gateway-3.0.0.json", reason: "deadline:\u001B[2J agent" })), {
    kind: "said",
    text: "update ROLLED BACK: os/gateway-3.0.0.json, deadline:?[2J agent",
  });
  t.same(hubNews(entry("certificate.issued", { serial: "61" })), { kind: "said", text: "hub issues its certificate" });
});

test("all else is not for this screen: other entries, its first line, words on stderr", async (t) => {
  for (const line of [
    entry("connection.mqtt-version", {}),
    '{"event":"ready","pid":1}',
    "sallyport-hub: hub.store-failed: full",
    "",
  ])
    t.equal(hubNews(line), undefined, line);
});
