// An operator approves what was shown: not what the device has asked for since.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { run as runHub } from "../../../hub/cli/index.ts";
import { auditKeyFingerprint } from "../../../hub/devices/index.ts";
import { encodeVerifier } from "../../../warden/audit/format/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { enrolled, labAuditKey, labDevice, labHub, simpleEnrol, simpleReenrol } from "../../lab/worlds/hub.ts";

test("[ID-31] devices approve --changed accepts the request that it showed, and no later one", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const audit = labAuditKey("gw-1");
  const asks = async (serialNumber: string): Promise<void> => {
    const { csr } = await labDevice("gw-1", { key: device.key, audit, serialNumber });
    t.equal((await simpleReenrol(hub, csr, cert, device.keyPem)).status, 403);
  };
  const named = auditKeyFingerprint(encodeVerifier(audit.verifier)) ?? "";
  const approve = async (between: () => Promise<void>) => {
    const said: string[] = [];
    const code = await runHub(["devices", "approve", device.id, device.fingerprint, "--changed", "--state", state], {
      out: (text) => void said.push(text),
      err: (text) => void said.push(text),
      shown: async () => undefined,
      ask: async () => {
        await between();
        return named;
      },
      stop: new AbortController().signal,
    });
    return { code, said: said.join("\n") };
  };
  const bound = async () => (await hub.store.devices.approved(device.id))?.serialNumber;
  await asks("S-HARMLESS");
  const swapped = await approve(() => asks("S-EVIL"));
  t.match(swapped, { code: 1, said: /new {3}S-HARMLESS/u });
  t.match(swapped.said, /hub\.device-conflict: .*another request since this one was shown.*run the command again and compare/u);
  t.equal(await bound(), "SN-1", "nothing was accepted");
  t.match(await approve(async () => undefined), { code: 0, said: /new {3}S-EVIL/u });
  t.equal(await bound(), "S-EVIL", "what was shown");
});

test("[ID-31] devices approve shows the names and the audit key that it has bound", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1", { serialNumber: "S-1" });
  await simpleEnrol(hub, device.csr);
  const approve = (...more: readonly string[]) => hubCommand(state, "devices", "approve", device.id, device.fingerprint, ...more);
  const key = auditKeyFingerprint(encodeVerifier(device.audit.verifier)) ?? "";
  const { code, err } = await approve();
  t.equal(code, 0);
  t.match(err.join("\n"), /board {4}S-1 /u);
  t.ok(err.join("\n").includes(`audit    ${key}`));
  t.match(err.join("\n"), /audit key was not compared/u);
  t.notMatch((await approve("--audit-key", key)).err.join("\n"), /not compared/u);
});

test("nobody approves a change that could not be shown", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const { csr } = await labDevice("gw-1", { key: device.key, audit: device.audit, serialNumber: "S-2" });
  await simpleReenrol(hub, csr, cert, device.keyPem);
  const code = await runHub(["devices", "approve", device.id, device.fingerprint, "--changed", "--state", state], {
    out: () => undefined,
    err: () => undefined,
    shown: async () => {
      throw new Fault("file.write-failed", "write the output: as planned");
    },
    stop: new AbortController().signal,
  });
  t.equal(code, 1);
  t.equal((await hub.store.devices.approved(device.id))?.serialNumber, "SN-1");
});
