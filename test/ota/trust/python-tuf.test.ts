import { readFileSync } from "node:fs";
import { test } from "tap";
import * as v from "valibot";
import { checkTarget, openTrustStore, timeFloor } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { NOW_MS } from "../../lab/counterparts/repository.ts";

const vectors = v.parse(
  v.object({ files: v.record(v.string(), v.string()) }),
  JSON.parse(readFileSync(new URL("../../vectors/trust/python-tuf.json", import.meta.url), "utf8")),
);
const files = new Map(Object.entries(vectors.files).map(([name, text]) => [name, Buffer.from(text)]));
const imageRoot = files.get("1.root.json") ?? new Uint8Array();

test("[OTA-2] a repository made by python-tuf, with each kind of key, hybrid targets and odd characters, is trusted", async (t) => {
  const store = await openTrustStore(fakeFiles(), imageRoot);
  const catalogue = await store.refresh({ fetch: async (name) => files.get(name), nowMs: NOW_MS });
  const target = await catalogue.find("os/gateway-3.json");
  if (target === undefined) t.fail("the target is there");
  else checkTarget(target, Buffer.from("an image"));
  t.match(target, { role: "os", file: { custom: { counter: 3 } } });
  t.equal(timeFloor(store.trusted, 0, Number.MAX_SAFE_INTEGER), Date.UTC(2027, 0, 2, 3, 4, 5));
});

for (const name of files.keys()) {
  test(`[OTA-2] python-tuf's ${name} with any one signature altered is refused`, async (t) => {
    const text = vectors.files[name] ?? "";
    const signatures = [...text.matchAll(/"sig": "([0-9a-f]+)"/gu)];
    t.ok(signatures.length > 0);
    for (const { 1: sig = "", index } of signatures) {
      const at = index + 8 + Math.floor(sig.length / 2);
      const altered = `${text.slice(0, at)}${text[at] === "0" ? "1" : "0"}${text.slice(at + 1)}`;
      const store = openTrustStore(fakeFiles(), name === "1.root.json" ? Buffer.from(altered) : imageRoot);
      const fetch = async (asked: string): Promise<Uint8Array | undefined> =>
        asked === name ? Buffer.from(altered) : files.get(asked);
      await t.rejects(
        store.then((opened) => opened.refresh({ fetch, nowMs: NOW_MS })).then((catalogue) => catalogue.find("os/gateway-3.json")),
        { code: /^trust\.(bad-signature|mismatch)$/u },
      );
    }
  });
}
