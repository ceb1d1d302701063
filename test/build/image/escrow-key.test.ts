// The owner's escrow key on its way into the image.
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { installEscrowKey } from "../../../build/image/system.ts";
import { parseEscrowKey } from "../../../warden/escrow/format/index.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { escrowOwner } from "../../lab/worlds/escrow.ts";

test("[ID-54] the image gets the public half where it is given, and nothing where it is not", async (t) => {
  const [given, root] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  const place = join(root, "usr/share/sallyport/escrow.json");
  await installEscrowKey(given, root);
  await t.rejects(stat(place), { code: "ENOENT" });
  const owner = escrowOwner();
  await writeFile(join(given, "escrow.json"), owner.file);
  await installEscrowKey(given, root);
  t.equal(parseEscrowKey(await readFile(place), place).id, owner.key.id);
  t.equal((await stat(place)).mode & 0o777, 0o644);
});

test("[ID-54] a private key, and what is no key, stop the image", async (t) => {
  const [given, root] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  for (const wrong of [escrowOwner().pem, JSON.stringify(escrowOwner().privateKey.export({ format: "jwk" })), "", "{}"]) {
    await writeFile(join(given, "escrow.json"), wrong);
    await t.rejects(installEscrowKey(given, root), { code: "escrow.key-unusable" });
    await t.rejects(stat(join(root, "usr/share/sallyport/escrow.json")), { code: "ENOENT" });
  }
});
