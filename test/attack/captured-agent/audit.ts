// Attacks on the audit log: forged records, forged checkpoints, forged cosignatures.
import { generateKeyPairSync } from "node:crypto";
import {
  AUDIT_EVENTS,
  cosign,
  decodeCheckpoint,
  decodeNote,
  ed25519Raw,
  encodeCheckpoint,
  encodeNote,
  signNote,
  verifierOf,
} from "../../../warden/audit/format/index.ts";
import { makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { type AttacksOn, DEVICE, resultOf } from "./attack.ts";

const OTHER_TREE = (size: number): string =>
  encodeCheckpoint({ origin: `sallyport/1/${DEVICE}`, size, root: Buffer.alloc(32, 7) });

const isCheckpoint = (result: unknown): result is { checkpoint: string } =>
  typeof result === "object" && result !== null && "checkpoint" in result;

/** The cosignature with another time than the one that was signed. */
function later(signature: ReturnType<typeof cosign>): ReturnType<typeof cosign> {
  const bytes = Buffer.from(signature.bytes);
  bytes.writeUInt8(bytes.readUInt8(7) ^ 1, 7);
  return { ...signature, bytes };
}

export const AUDIT_ATTACKS: AttacksOn<"audit"> = {
  "audit.append": async ({ t, peer, refused }) => {
    for (const [event, { source }] of Object.entries(AUDIT_EVENTS))
      if (source === "warden") await refused("audit.append", { event, result: "ok" }, /audit\.unknown-event/u);
    const said = { event: "agent.started", result: "ok" };
    await refused("audit.append", { ...said, event: "made.up" });
    for (const event of ["__proto__", "constructor", "toString"]) await refused("audit.append", { ...said, event });
    for (const forged of [
      { source: "warden" },
      { seq: 0 },
      { at: "1970-01-01T00:00:00.000Z" },
      { synced: true },
      { id: 3001 },
      { severity: "info" },
      { boot: "0" },
    ])
      await refused("audit.append", { ...said, ...forged }, /protocol\.invalid/u);
    await refused("audit.append", { ...said, detail: { text: "x".repeat(513) } });
    await refused("audit.append", { ...said, detail: { nested: { deep: 1 } } });
    await refused("audit.append", { ...said, detail: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`m${n}`, n])) });
    await refused("audit.append", { ...said, detail: { float: 0.1 } });
    const full = { ...said, detail: Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`m${n}`, "\u0001".repeat(512)])) };
    await refused("audit.append", full, /audit\.|protocol\./u);
    t.match(
      await peer.ask("audit.append", { ...said, detail: { forged: '\u001b[2J\n{"source":"warden"}' } }),
      { result: {} },
      "text stays text",
    );
  },

  "audit.read": async ({ t, peer, refused }) => {
    for (const args of [
      { from: -1, count: 1 },
      { from: 0, count: 0 },
      { from: 0, count: 65 },
      { from: 0, count: 1e9 },
      { from: 0.5, count: 1 },
      { from: "0", count: 1 },
      { from: 2 ** 53, count: 1 },
      { from: 0, count: 1, file: "audit.key" },
    ])
      await refused("audit.read", args, /protocol\.invalid/u);
    const beyond = JSON.stringify(await peer.ask("audit.read", { from: Number.MAX_SAFE_INTEGER, count: 64 }));
    t.match(beyond, /"records":\[\]|"fault"/u, "nothing is past the end");
  },

  "audit.checkpoint": async ({ refused }) => {
    for (const args of [
      { oldSize: -1 },
      { oldSize: Number.MAX_SAFE_INTEGER },
      { oldSize: 0, size: Number.MAX_SAFE_INTEGER },
      { oldSize: 2, size: 1 },
      { oldSize: 0, origin: "sallyport/1/GW-0000" },
      { oldSize: 0, root: "AAAA" },
    ])
      await refused("audit.checkpoint", args);
  },

  "audit.cosigned": async ({ lab, peer, refused }) => {
    const { checkpoint } = resultOf<{ checkpoint: string }>(await peer.ask("audit.checkpoint", { oldSize: 0 }), isCheckpoint);
    const ours = decodeNote(checkpoint);
    const at = 1_764_000_000;
    const impostor = makeSigner(lab.hub.witness.verifier.name, "cosignature/v1");
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const mine = { privateKey, verifier: verifierOf(`sallyport/1/${DEVICE}`, "ed25519", ed25519Raw(publicKey)) };
    const { size } = decodeCheckpoint(ours.text);
    const elsewhere = encodeCheckpoint({ ...decodeCheckpoint(ours.text), origin: "sallyport/1/GW-0000" });
    const forged: readonly [string, string][] = [
      ["no note", "witnessed, believe me"],
      ["nothing", ""],
      ["not cosigned at all", checkpoint],
      [
        "cosigned by a key of the witness's name",
        encodeNote({ ...ours, signatures: [...ours.signatures, cosign(ours.text, at, impostor)] }),
      ],
      [
        "another tree, signed by the witness and by no warden",
        encodeNote({ text: OTHER_TREE(size), signatures: [cosign(OTHER_TREE(size), at, lab.hub.witness)] }),
      ],
      [
        "another tree, signed by the witness and a key the agent made",
        encodeNote({
          text: OTHER_TREE(size),
          signatures: [signNote(OTHER_TREE(size), mine), cosign(OTHER_TREE(size), at, lab.hub.witness)],
        }),
      ],
      [
        "another tree under our signature",
        encodeNote({ text: OTHER_TREE(size), signatures: [...ours.signatures, cosign(OTHER_TREE(size), at, lab.hub.witness)] }),
      ],
      [
        "more than the log has",
        encodeNote({
          text: OTHER_TREE(1_000_000),
          signatures: [...ours.signatures, cosign(OTHER_TREE(1_000_000), at, lab.hub.witness)],
        }),
      ],
      [
        "another device's log",
        encodeNote({ text: elsewhere, signatures: [...ours.signatures, cosign(elsewhere, at, lab.hub.witness)] }),
      ],
      [
        "the time changed under the cosignature",
        encodeNote({ ...ours, signatures: [...ours.signatures, later(cosign(ours.text, at, lab.hub.witness))] }),
      ],
      [
        "the hub's time key as a witness",
        encodeNote({ ...ours, signatures: [...ours.signatures, cosign(ours.text, at, lab.hub.time)] }),
      ],
    ];
    for (const [, note] of forged) await refused("audit.cosigned", { checkpoint: note });
    await refused("audit.cosigned", { checkpoint: "x".repeat(8193) }, /protocol\.invalid/u);
  },
};
