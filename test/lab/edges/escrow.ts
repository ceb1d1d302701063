// The edges of the escrow: what a hub keeps, an owner opens and gives back, and an image carries.
// [ID-54] [ID-55] [ID-56]
import { escrowReportSchema } from "../../../agent/tunnel/format.ts";
import { readEscrowKey } from "../../../build/release/escrow-key.ts";
import { Fault } from "../../../hal/fault.ts";
import { check } from "../../../hal/format/schema.ts";
import { encodeNote, signNote } from "../../../warden/audit/format/index.ts";
import {
  CHIP_SECRETS_BYTES_MAX,
  encodeSecrets,
  ESCROW_KEY_BYTES_MAX,
  ESCROW_NOTE_BYTES_MAX,
  ESCROW_PRIVATE_KEY_BYTES_MAX,
  escrowNoteText,
  openSealed,
  parseEscrowKey,
  parseEscrowPrivateKey,
  parseSecrets,
  SEALED_BYTES_MAX,
  sealFor,
  sealSecrets,
  verifyEscrowNote,
} from "../../../warden/escrow/format/index.ts";
import { ESCROW_FILE_BYTES_MAX, openEscrow } from "../../../warden/escrow/escrow.ts";
import { makeSigner } from "../counterparts/hub-signer.ts";
import { fakeFiles } from "../fakes/files.ts";
import { escrowOwner, labSecrets } from "../worlds/escrow.ts";
import { type Edge, hostileJson, jsonEdge, membersIn, membersOf, padded, text } from "./edge.ts";
import { scratch } from "./scratch.ts";
import { keyEdge } from "./tools.ts";

const owner = escrowOwner();
const secrets = labSecrets();
const audit = makeSigner("sallyport/1/dev-1", "ed25519");

function noteOf(sealed: string): string {
  const lines = escrowNoteText({ ...secrets, sealed });
  return encodeNote({ text: lines, signatures: [signNote(lines, audit)] });
}

const NOTE = noteOf(sealSecrets(owner.key, secrets));

export function escrowEdges(): ReadonlyMap<string, Edge> {
  return new Map<string, Edge>([
    ["escrow note", noteEdge()],
    ["sealed passwords", sealedEdge()],
    [
      "passwords that come back",
      {
        ...jsonEdge(CHIP_SECRETS_BYTES_MAX, secrets, (bytes) => parseSecrets(bytes, "the record")),
        valid: () => padded(encodeSecrets(secrets), CHIP_SECRETS_BYTES_MAX),
      },
    ],
    [
      "escrow key in the image",
      jsonEdge(ESCROW_KEY_BYTES_MAX, membersIn(owner.file), (bytes) => parseEscrowKey(bytes, "escrow.json")),
    ],
    ["private escrow key", privateKeyEdge((bytes) => parseEscrowPrivateKey(bytes, "owner.pem"))],
    ["private escrow key of the release tool", privateKeyEdge((bytes) => readEscrowKey(scratch.write("owner.pem", bytes)))],
    ["escrow record", recordEdge()],
  ]);
}

function noteEdge(): Edge {
  const [first = "", madeAt = "", storage = "", sealed = ""] = NOTE.split("\n");
  const room = ESCROW_NOTE_BYTES_MAX - NOTE.length + sealed.length;
  const lines = ["\n", "a", "\n\n— a AAAA", "— ", "\u0000", "\u2028", "."];
  return {
    bytesMax: ESCROW_NOTE_BYTES_MAX,
    take: (bytes) => {
      const note = Buffer.from(bytes).toString();
      return verifyEscrowNote(check(escrowReportSchema, { kind: "tpm.escrow", note }, "the report").note, audit.verifier);
    },
    valid: () => Buffer.from(NOTE),
    worst: new Map<string, () => Uint8Array>([
      ...lines.map(
        (fill) =>
          [JSON.stringify(fill), text(fill, ESCROW_NOTE_BYTES_MAX - (ESCROW_NOTE_BYTES_MAX % Buffer.byteLength(fill)))] as const,
      ),
      [
        "a long header",
        () => Buffer.from(`${first}\n${madeAt}\n${storage}\n${"A".repeat(room - 200)}..AAAA.AAAA.AAAA\n\n— a AAAAAAAA\n`),
      ],
      ["another signature", () => Buffer.from(noteOf(sealed).replace(/— .*\n$/u, "— a AAAAAAAA\n"))],
    ]),
  };
}

function sealedEdge(): Edge {
  const header = (json: string): Uint8Array => {
    const [, , iv = "", , tag = ""] = sealFor(owner.key, Buffer.from("a")).split(".");
    return Buffer.from([Buffer.from(json).toString("base64url"), "", iv, "AAAA", tag].join("."));
  };
  const full = 1000;
  const hostile = hostileJson(full, membersOf(["epk", "alg", "kid"], { alg: "ECDH-ES", enc: "A256GCM", kid: owner.key.id }));
  return {
    bytesMax: SEALED_BYTES_MAX,
    take: (bytes) => openSealed(Buffer.from(bytes).toString("latin1"), owner.privateKey),
    valid: () => Buffer.from(sealFor(owner.key, Buffer.alloc(2100, 1))),
    worst: new Map<string, () => Uint8Array>([
      ...[...hostile].map(([what, make]) => [`header: ${what}`, () => header(Buffer.from(make()).toString())] as const),
      ...["a", ".", "A.", "=", "\u0000"].map((fill) => [JSON.stringify(fill), text(fill, SEALED_BYTES_MAX)] as const),
    ]),
  };
}

function privateKeyEdge(take: Edge["take"]): Edge {
  const { bytesMax, ...edge } = keyEdge(owner.pem, take);
  if (bytesMax !== ESCROW_PRIVATE_KEY_BYTES_MAX) throw new Fault("assert.broken", "both keys have one bound");
  return { ...edge, bytesMax, boundedBefore: true };
}

/** What is damaged counts as none, which is reported. */
function recordEdge(): Edge {
  const members = { note: NOTE, of: "ab".repeat(32), readable: 1, v: 1 };
  return {
    bytesMax: ESCROW_FILE_BYTES_MAX,
    boundedBefore: true,
    take: async (bytes) => {
      const noted: Fault[] = [];
      await openEscrow({
        files: {
          ...fakeFiles(),
          noteDamage: (fault) => void noted.push(fault),
          get: async () => bytes,
        },
        deviceId: secrets.deviceId,
        owner: owner.key,
        sign: () => NOTE,
        verifier: audit.verifier,
        witness: undefined,
        clock: { nowMs: () => 0 },
      });
      const [fault] = noted;
      if (fault !== undefined) throw fault;
    },
    valid: () => Buffer.from(JSON.stringify(members)),
    worst: hostileJson(ESCROW_FILE_BYTES_MAX, membersOf(Object.keys(members), { ...members, note: "n" })),
  };
}
