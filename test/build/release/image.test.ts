import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { addImage } from "../../../build/release/image.ts";
import { initialise } from "../../../build/release/init.ts";
import { publish } from "../../../build/release/publish.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { osManifestSchema } from "../../../ota/install/format.ts";
import { NOW_MS } from "../../lab/counterparts/repository.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const FOR_ALL = { line: "os", hardware: { any: true }, audience: { everyone: true } } as const;

async function made(t: Parameters<typeof temporaryDirectory>[0]) {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  const image = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  };
  await initialise(dir, NOW_MS);
  return { dir, to: join(directory, "www"), published: join(dir, "repository"), image };
}

test("[OTA-64] [OTA-31] a release names its parts, the kernel last, and the next one adds only changed chunks", async (t) => {
  const { dir, image } = await made(t);
  const system = randomBytes(1_500_000);
  const kernel = image("kernel", randomBytes(30_000));
  const first = await addImage(
    dir,
    "os/gw-1.json",
    new Map([
      ["kernel", kernel],
      ["root", image("root", system)],
    ] as const),
    FOR_ALL,
  );
  const manifest = check(osManifestSchema, parseJson(readFileSync(first.file), 65_536, "manifest"), "manifest");
  t.same(
    manifest.parts.map(({ part, bytes }) => [part, bytes]),
    [
      ["root", 1_500_000],
      ["kernel", 30_000],
    ],
  );

  system.fill(7, 700_000, 700_100);
  const second = await addImage(
    dir,
    "os/gw-2.json",
    new Map([
      ["root", image("root", system)],
      ["kernel", kernel],
    ] as const),
    FOR_ALL,
  );
  t.equal(second.custom.counter, 2);
  const [root, same] = second.parts;
  t.equal(same?.added, 0, "an unchanged part adds nothing");
  t.ok((root?.added ?? 0) > 0 && (root?.added ?? 0) < (root?.chunks ?? 0) / 2, "the other part adds only changed chunks");
});

test("[OTA-14] a release with a missing chunk or index is not published", async (t) => {
  const { dir, to, published, image } = await made(t);
  await addImage(dir, "os/gw-1.json", new Map([["root", image("root", randomBytes(100_000))]] as const), FOR_ALL);
  await signChanges(dir, [], NOW_MS);
  const [chunks = ""] = readdirSync(join(published, "chunks"));
  rmSync(join(published, "chunks", chunks), { recursive: true });
  await t.rejects(publish(dir, to, { nowMs: NOW_MS }), { code: "release.store-failed", message: /\.cacnk": it is missing/u });
  rmSync(join(published, "indexes"), { recursive: true });
  await t.rejects(publish(dir, to, { nowMs: NOW_MS }), {
    code: "release.store-failed",
    message: /\.caibx": it is missing; add its original file again/u,
  });
  t.throws(() => readdirSync(join(to, "metadata")), { code: "ENOENT" }, "readers do not see it");
});

test("[OTA-14] a missing or empty image makes no release", async (t) => {
  const { dir, image } = await made(t);
  const none = new Map([["root", "/nowhere/root.img"]] as const);
  await t.rejects(addImage(dir, "os/gw-1.json", none, FOR_ALL), { code: "file.read-failed", message: /"\/nowhere\/root\.img"/u });
  const empty = new Map([["root", image("empty", new Uint8Array())]] as const);
  await t.rejects(addImage(dir, "os/gw-1.json", empty, FOR_ALL), { code: "usage.invalid" });
  t.same((await signChanges(dir, [], NOW_MS)).signed, [], "nothing was staged");
});
