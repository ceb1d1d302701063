// The captured agent beside the protocol: bytes that are no request, floods, and lies that fill the
// log.
import { test } from "tap";
import { PROTOCOL_LINE_BYTES_MAX } from "../../warden/protocol/format.ts";
import { APPENDED_BYTES_BURST_MAX, REFUSALS_RECORDED_BURST_MAX } from "../../warden/protocol/limits.ts";
import { CONNECTIONS_MAX } from "../../warden/socket/limits.ts";
import { hubTime, makeSigner } from "../lab/counterparts/hub-signer.ts";
import { hostilePeer } from "../lab/worlds/warden-socket.ts";
import { labWarden, verifiedLog } from "../lab/worlds/warden.ts";
import { asCaptured, type Attack, bornWarden, DEVICE, expectUnchanged, observe } from "./captured-agent/attack.ts";

test("[OPS-1] [OPS-2] bytes that are no request weaken nothing either", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const before = await observe(lab, honest);
  const assaults: readonly [string, string | Buffer][] = [
    ["an HTTP request", "GET / HTTP/1.1\r\nHost: warden\r\n\r\n"],
    ["a TLS hello", Buffer.from("16030100a5010000a10303", "hex")],
    ["zeros", Buffer.alloc(200_000)],
    ["newlines", "\n".repeat(1000)],
    ["a line without end", "{".repeat(3 * PROTOCOL_LINE_BYTES_MAX)],
    ["half a request", '{"id":1,"verb":"hel'],
    ["depth", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}\n`],
    ["the prototype for a verb", '{"id":2,"verb":"__proto__","args":{}}\n'],
    ["the prototype for arguments", '{"id":2,"verb":"status.read","args":{"__proto__":{"admin":true}}}\n'],
    ["the prototype for a request", '{"__proto__":{"verb":"status.read"},"id":2,"args":{}}\n'],
  ];
  for (const greeted of [false, true]) {
    for (const [what, bytes] of assaults) {
      const peer = await hostilePeer(lab.socket);
      if (greeted) await peer.hello();
      peer.write(bytes);
      peer.socket.end();
      for (let said = await peer.next(); said !== undefined; said = await peer.next()) t.match(said, { fault: {} }, what);
    }
  }
  expectUnchanged(t, before, await observe(lab, honest));
});

test("[OPS-2] floods: the warden answers others, and the log grows by a bounded number of refusals", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const before = await observe(lab, honest);
  const attacker = await asCaptured(t, lab);
  attacker.peer.write('{"id":9,"verb":"shell.run","args":{}}\n'.repeat(300));
  const others = await Promise.all(Array.from({ length: 2 * CONNECTIONS_MAX }, () => hostilePeer(lab.socket)));
  for (let n = 0; n < 5; n++) await honest.call("status.read", {});
  for (const peer of [attacker.peer, ...others]) peer.end();
  const after = await observe(lab, honest);
  expectUnchanged(t, before, after);
  const refused = after.log.filter(({ event }) => event === "protocol.refused").length;
  t.ok(refused > 0 && refused <= REFUSALS_RECORDED_BURST_MAX, `${refused} records of refusals`);
});

/** The longest and gravest entry that an agent may append. */
const LIE = {
  event: "hub.untrusted",
  result: "refused",
  detail: Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`lie${n}`, "x".repeat(512)])),
} as const;

/**
 * Appends lies until one is refused.
 * @returns the code of the refusal, and how many went in before.
 */
async function lieUntilRefused({ peer }: Attack): Promise<{ readonly code: string; readonly taken: number }> {
  for (let taken = 0; ; taken++) {
    const answer = JSON.stringify(await peer.ask("audit.append", LIE));
    const code = /"code":"([a-z.-]+)"/u.exec(answer)?.[1];
    if (code !== undefined) return { code, taken };
  }
}

test("[AUD-26] [OPS-2] an agent that fills the log with grave lies does not silence the warden, however often it is restarted", async (t) => {
  const lab = await labWarden(t, { serial: DEVICE, config: { audit: { bytesMax: 4_194_304 } } });
  let starts = 0;
  let lies = 0;
  for (let code = ""; code !== "audit.full";) {
    t.ok(++starts < 20, "the log fills up");
    const warden = await lab.start();
    const attacker = await asCaptured(t, lab);
    const flood = await lieUntilRefused(attacker);
    ({ code } = flood);
    lies += flood.taken;
    t.ok(flood.taken * 4096 < APPENDED_BYTES_BURST_MAX * 1.5, `${flood.taken} lies at once, then ${code}`);
    await attacker.refused(
      "time.set",
      hubTime(makeSigner(lab.hub.time.verifier.name, "ed25519"), DEVICE, "5a".repeat(32), Date.now()),
      /time\.nonce-unknown/u,
    );
    attacker.peer.end();
    await warden.stop("SIGKILL");
  }
  await lab.start();
  const log = await verifiedLog(lab.client());
  const count = (name: string): number => log.filter(({ event }) => event === name).length;
  t.equal(count(LIE.event), lies);
  t.equal(count("warden.started"), starts + 1, "every start is in the log");
  t.equal(count("time.refused"), starts, "and every lie about the time");
});
