// The manifest of an `os/` target.
import { test } from "tap";
import { check } from "../../../hal/format/schema.ts";
import { MANIFEST_BYTES_MAX, osManifestSchema } from "../../../ota/install/format.ts";

const part = (name: string) => ({
  part: name,
  bytes: 1000,
  index: { path: `os/2/${name}.caibx`, bytes: 104, sha256: "0".repeat(64) },
});
const manifest = { v: 1, store: "store", parts: [part("root"), part("verity"), part("kernel")] };

test("[OTA-33] a manifest names each part once, the kernel last", async (t) => {
  t.same(check(osManifestSchema, manifest, "manifest"), manifest);
  t.ok(JSON.stringify(manifest).length < MANIFEST_BYTES_MAX / 4);
  t.same(check(osManifestSchema, { ...manifest, parts: [part("root")] }, "manifest").parts.length, 1);
  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    ["the kernel first", { ...manifest, parts: [part("kernel"), part("root")] }, /kernel last/],
    ["a part twice", { ...manifest, parts: [part("root"), part("root")] }, /each part once/],
    ["no part", { ...manifest, parts: [] }, /parts/],
    ["an unknown part", { ...manifest, parts: [part("boot")] }, /root, verity or kernel/],
    ["an empty part", { ...manifest, parts: [{ ...part("root"), bytes: 0 }] }, /bytes/],
    ["an unknown member", { ...manifest, script: "x" }, /script: unknown/],
    ...["../store", "/store", "a//b", "a/../b", ".a", "a b", "", "a/"].map(
      (store) => [store, { ...manifest, store }, /relative path/] as const,
    ),
  ];
  for (const [name, value, message] of refused)
    t.throws(() => check(osManifestSchema, value, "manifest"), { code: "schema.invalid", message }, name);
});
