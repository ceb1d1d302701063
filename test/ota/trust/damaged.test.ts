import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { type FakeFiles, fakeFiles } from "../../lab/fakes/files.ts";
import { labCustom, labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

async function device() {
  const repository = labRepository();
  repository.addTarget("os", "os/a", "a", labCustom({ line: "os" }));
  repository.publish("os");
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  await (await store.refresh(source)).list();
  return { repository, files, source };
}

const NAMES = ["root.json", "timestamp.json", "snapshot.json", "targets.json", "os.json", "online-keys"];

/** Expects that the store opens, refreshes, finds its targets, and has everything whole again. */
async function recovers(
  t: { fail(message: string): void },
  { repository, files, source }: Awaited<ReturnType<typeof device>>,
  what: string,
): Promise<void> {
  const store = await openTrustStore(files, repository.imageRoot);
  const found = await (await store.refresh(source)).find("os/a");
  if (found?.role !== "os") t.fail(what);
  const again = await openTrustStore(files, repository.imageRoot);
  if (again.damaged.length > 0 || (await again.stored.find("os/a")) === undefined) t.fail(`${what}, afterwards`);
}

for (const name of NAMES) {
  test(`[OTA-23] a stored ${name} cut at any byte is fetched again and is never fatal`, async (t) => {
    const made = await device();
    const whole = made.files.contents.get(name) ?? new Uint8Array();
    const step = Math.max(1, Math.floor(whole.byteLength / 40));
    for (let length = 0; length < whole.byteLength; length += step) {
      made.files.contents.set(name, whole.slice(0, length));
      await recovers(t, made, `${name} of ${length} bytes`);
    }
    made.files.contents.delete(name);
    await recovers(t, made, `${name} lost`);
    made.files.contents.set(name, new Uint8Array(whole.byteLength));
    await recovers(t, made, `${name} of zeros`);
    made.files.contents.set(name, Buffer.alloc(3_000_000, 32));
    await recovers(t, made, `${name} grown`);
    t.pass("all of them");
  });

  test(`[OTA-23] a flipped byte in a stored ${name} is detected`, async (t) => {
    const made = await device();
    const whole = made.files.contents.get(name) ?? new Uint8Array();
    for (let at = 0; at < whole.byteLength; at += Math.max(1, Math.floor(whole.byteLength / 23))) {
      const flipped = Uint8Array.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      made.files.contents.set(name, flipped);
      await recovers(t, made, `${name}, byte ${at}`);
    }
    t.pass("all of them");
  });
}

test("[OTA-23] damaged files are reported", async (t) => {
  const { repository, files } = await device();
  files.contents.set("timestamp.json", Buffer.from("{"));
  files.contents.set("os.json", Buffer.from("{"));
  const store = await openTrustStore(files, repository.imageRoot);
  await store.stored.list();
  t.match(store.damaged, [
    { name: "timestamp.json", fault: { code: "trust.invalid" } },
    { name: "os.json", fault: { code: "trust.invalid" } },
  ]);
});

test("[OTA-23] a damaged root gives way to the image's, and the chain is followed again", async (t) => {
  const { repository, files, source } = await device();
  repository.publish("root");
  await (await openTrustStore(files, repository.imageRoot)).refresh(source);
  files.contents.set("root.json", Buffer.from("torn"));
  const store = await openTrustStore(files, repository.imageRoot);
  t.equal(store.trusted.root.signed.version, 1);
  await store.refresh(source);
  t.equal(store.trusted.root.signed.version, 2);
});

test("[OTA-8] [STA-4] a store that another user could have written counts as damaged: each file is reported, and fetched again", async (t) => {
  const { repository } = await device();
  const files: FakeFiles = {
    ...fakeFiles(),
    get: async (name) => {
      throw new Fault("file.untrusted-owner", `read "${name}"`);
    },
  };
  const store = await openTrustStore(files, repository.imageRoot);
  t.equal(store.trusted.root.signed.version, 1, "the image's");
  t.ok(store.damaged.length > 0 && store.damaged.every(({ fault }) => fault.code === "file.untrusted-owner"));
});

test("[OTA-8] with neither a stored root nor the image's there is nothing to trust", async (t) => {
  const { repository } = await device();
  await t.rejects(openTrustStore(fakeFiles(), Buffer.from("{}")), { code: "trust.invalid" });
  const unsigned = Buffer.from(JSON.stringify({ signatures: [], signed: repository.root }));
  await t.rejects(openTrustStore(fakeFiles(), unsigned), { code: "trust.bad-signature", message: /5\.2/u });
});

for (const code of ["file.no-space", "file.read-only", "file.write-failed"] as const) {
  test(`[OTA-8] ${code} at any write is reported, nothing is trusted that is not stored, and the next refresh succeeds`, async (t) => {
    const made = await device();
    made.repository.rotate("timestamp");
    made.repository.publish("root", "os", "targets");
    for (let n = 1; ; n += 1) {
      const files = fakeFiles();
      for (const [name, bytes] of made.files.contents) files.contents.set(name, bytes);
      const store = await openTrustStore(files, made.repository.imageRoot);
      files.faults.failAt(n, code);
      const failed = await store
        .refresh(made.source)
        .then((catalogue) => catalogue.find("os/a"))
        .then(() => false)
        .catch((error: unknown) => error instanceof Fault && error.code === code);
      const rebooted = await openTrustStore(files, made.repository.imageRoot);
      t.equal(rebooted.trusted.root.signed.version, store.trusted.root.signed.version);
      t.equal(rebooted.trusted.timestamp?.signed.version, store.trusted.timestamp?.signed.version);
      t.equal(rebooted.trusted.snapshot?.signed.version, store.trusted.snapshot?.signed.version);
      files.faults.heal();
      t.match(await (await store.refresh(made.source)).find("os/a"), { role: "os" });
      if (!failed) break;
    }
  });
}
