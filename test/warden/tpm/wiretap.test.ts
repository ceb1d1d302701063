// Who listens between the warden and its TPM learns no password, whatever the warden does with it.
import { test } from "tap";
import { assert } from "../../../hal/fault.ts";
import { openWiretap } from "../../lab/counterparts/wiretap.ts";
import { needs } from "../../lab/runner/needs.ts";
import { ownedChip } from "../../lab/worlds/owned-chip.ts";

test("[ID-51] no password is heard while the TPM is taken, kept and handed back", { skip: needs("swtpm") }, async (t) => {
  const world = await ownedChip(t);
  await using wire = await openWiretap(world.swtpm().port);
  const tcti = `swtpm:host=127.0.0.1,port=${wire.port}`;
  const taking = await world.start({ tcti });
  t.match(taking.state(), { ownership: "ours" });
  const passwords = await taking.passwords();
  assert(passwords !== undefined, "a TPM of ours has passwords");
  await taking.stop();
  await (await world.start({ tcti })).release();
  t.ok(wire.length > 4096, "all of it came by here");
  for (const [name, password] of Object.entries(passwords)) {
    t.notOk(wire.hears(Buffer.from(password, "hex")), `the password of ${name} is not heard`);
    t.notOk(wire.hears(password), `nor its digits`);
  }
});
