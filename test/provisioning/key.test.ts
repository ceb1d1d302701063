import * as v from "valibot";
import { test } from "tap";
import { birthRecordSchema } from "../../hal/format/identity.ts";
import { settleKey } from "../../provisioning/index.ts";
import { memoryKey } from "../lab/fakes/keys.ts";

test("[ID-4] [ID-6] the key is made once; a key found after a crash is used; a recorded key is never replaced", async (t) => {
  const key = memoryKey();
  const made: string[] = [];
  const store = {
    protection: "file",
    create: async () => {
      made.push("key");
      return key;
    },
  } as const;
  const birth = v.parse(birthRecordSchema, {
    v: 1,
    id: "gw-1",
    source: "serial",
    protection: "file",
    keyFingerprint: key.fingerprint,
  });

  t.equal(await settleKey({ store }, undefined), key);
  t.same(made, ["key"]);
  t.equal(await settleKey({ store, key }, undefined), key, "made before a crash, not yet recorded");
  t.equal(await settleKey({ store, key }, birth), key);
  await t.rejects(settleKey({ store }, birth), { code: "key.missing", message: /owner's reset/ });
  await t.rejects(settleKey({ store, key: memoryKey() }, birth), { code: "key.mismatch" });
  await t.rejects(settleKey({ store, key: { ...key, protection: "tpm" } }, birth), { code: "key.mismatch" });
  t.same(made, ["key"], "no second key was made");
});
