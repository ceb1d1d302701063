import type { KeyObject } from "node:crypto";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { canonicalBytes, signatureOf } from "../../../ota/trust/format/index.ts";
import { offered, openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

const NAMES = ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "2.os.json"];

for (const name of NAMES) {
  test(`[OTA-9] endless data for ${name} ends at the bound, and the store is unharmed`, async (t) => {
    const repository = labRepository();
    repository.publish("root", "targets", "os");
    const files = fakeFiles();
    const store = await openTrustStore(files, repository.imageRoot);
    const fetch = async (asked: string, bytesMax: number): Promise<Uint8Array | undefined> => {
      t.ok(bytesMax <= 2_097_152, `${asked}: at most ${bytesMax}`);
      return asked === name ? Buffer.alloc(bytesMax + 1, 32) : repository.fetch(asked, bytesMax);
    };
    await t.rejects(
      store.refresh({ fetch, nowMs: NOW_MS }).then((catalogue) => catalogue.find("os/a")),
      { code: "trust.too-large" },
    );
    await t.resolves(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }));
  });

  test(`[OTA-9] ${name} cut at any byte is refused with a fault, and the store is unharmed`, async (t) => {
    const repository = labRepository();
    repository.publish("root", "targets", "os");
    const whole = repository.files.get(name) ?? new Uint8Array();
    const files = fakeFiles();
    for (let length = 0; length < whole.byteLength; length += Math.max(1, Math.floor(whole.byteLength / 40))) {
      const store = await openTrustStore(files, repository.imageRoot);
      repository.files.set(name, whole.slice(0, length));
      await t.rejects(
        store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }).then((catalogue) => catalogue.find("os/a")),
        { code: "trust.invalid" },
      );
    }
    repository.files.set(name, whole);
    const store = await openTrustStore(files, repository.imageRoot);
    await t.resolves(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }));
    t.same(store.damaged, []);
  });
}

test("[OTA-9] an announced length bounds the fetch", async (t) => {
  const repository = labRepository();
  repository.snapshot.meta["targets.json"] = { version: 1, length: 0 };
  repository.publish("targets");
  const bounds: number[] = [];
  const fetch = async (name: string, bytesMax: number): Promise<Uint8Array | undefined> => {
    if (name.endsWith("targets.json")) bounds.push(bytesMax);
    return repository.fetch(name, bytesMax);
  };
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await store.refresh({ fetch, nowMs: NOW_MS });
  t.same(bounds, [repository.files.get("2.targets.json")?.byteLength]);
});

for (const name of ["timestamp.json", "1.snapshot.json", "1.targets.json"]) {
  test(`[OTA-9] a repository without ${name} is reported as such`, async (t) => {
    const repository = labRepository();
    repository.files.delete(name);
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
      code: "trust.missing",
      message: new RegExp(name, "u"),
    });
  });
}

for (const [what, text] of [
  ["no object", "[]"],
  ["no JSON", "hello"],
  ["depth", "[".repeat(10_000)],
  ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d])],
] as const) {
  test(`[OTA-9] a timestamp of ${what} is refused`, async (t) => {
    const repository = labRepository();
    repository.files.set("timestamp.json", Buffer.from(text));
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), { code: "trust.invalid" });
  });
}

for (const [what, signed] of [
  ["a fraction", '{"_type":"timestamp","x":1.5}'],
  ["a lone surrogate", '{"_type":"timestamp","x":"\\ud800"}'],
  ["no version", '{"_type":"timestamp","spec_version":"1.0","expires":"2030-01-01T00:00:00Z","meta":{}}'],
  [
    "another major version",
    '{"_type":"timestamp","spec_version":"2.0","version":1,"expires":"2030-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1}}}',
  ],
  [
    "a day that does not exist",
    '{"_type":"timestamp","spec_version":"1.0","version":1,"expires":"2030-02-30T00:00:00Z","meta":{"snapshot.json":{"version":1}}}',
  ],
] as const) {
  test(`[OTA-9] a timestamp of ${what} is refused, although the role's key signed it`, async (t) => {
    const repository = labRepository();
    const [key] = repository.signers.get("timestamp") ?? [];
    if (key === undefined) return t.fail("the role has a key");
    repository.files.set(
      "timestamp.json",
      Buffer.from(`{"signatures":[{"keyid":"${key.id}","sig":"${signedText(signed, key.privateKey)}"}],"signed":${signed}}`),
    );
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    return await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), { code: "trust.invalid" });
  });
}

test("[OTA-2] [STA-12] a file that too few keys signed is refused before its content is looked at", async (t) => {
  const repository = labRepository();
  repository.files.set("timestamp.json", Buffer.from('{"signatures":[],"signed":{"_type":"timestamp","x":1.5}}'));
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), { code: "trust.bad-signature" });
});

/** A value without a canonical form cannot be signed. Any bytes do: it is refused before. */
function signedText(signed: string, privateKey: KeyObject): string {
  try {
    return signatureOf(canonicalBytes(JSON.parse(signed)), privateKey);
  } catch (error) {
    if (error instanceof Fault) return "00";
    throw error;
  }
}

test("[OTA-1] the warden refreshes from files that were handed over, and names those that are missing", async (t) => {
  const repository = labRepository();
  repository.addTarget("policy", "policy/a", "a");
  repository.publish("policy");
  const brought = new Map(
    ["timestamp.json", "2.snapshot.json", "1.targets.json"].map((name) => [name, repository.files.get(name) ?? new Uint8Array()]),
  );
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const catalogue = await store.refresh({ fetch: offered(brought), nowMs: NOW_MS });
  await t.rejects(catalogue.find("policy/a"), { code: "trust.missing", message: /2\.policy\.json/u });
  brought.set("2.policy.json", repository.files.get("2.policy.json") ?? new Uint8Array());
  t.match(await catalogue.find("policy/a"), { role: "policy" });
});

test("[OTA-1] a fault of the transport is distinct from a missing file, and passes through", async (t) => {
  const repository = labRepository();
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const fetch = async (): Promise<undefined> => {
    throw new Fault("tunnel.unreachable", "no route");
  };
  await t.rejects(store.refresh({ fetch, nowMs: NOW_MS }), { code: "tunnel.unreachable" });
});

test("[OTA-7] a catalogue cannot be used beyond the next update cycle", async (t) => {
  const repository = labRepository();
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  const old = await store.refresh(source);
  const running = store.refresh(source);
  await t.rejects(store.refresh(source), { code: "assert.broken" });
  await running;
  await t.rejects(old.find("os/a"), { code: "assert.broken" });
});
