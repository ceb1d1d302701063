// The edges of signing by several people: what one of them brings to `sallyport-release sign` and
// `keys`, and what lies in a directory that came from others. [STA-32] [STA-33] [OTA-28]
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { delegatedAuthority, topLevelAuthority } from "../../../build/release/authority.ts";
import { expectOwnRoot, expectVouched } from "../../../build/release/before.ts";
import { run } from "../../../build/release/cli.ts";
import { envelopeBytes, signaturesOf } from "../../../build/release/drafts.ts";
import { initialise } from "../../../build/release/init.ts";
import { changeKeys, readKeyChanges, rootWith, targetsWith } from "../../../build/release/key-changes.ts";
import { Keyring, NO_KEYS, readSigner } from "../../../build/release/keys.ts";
import { layoutOf, metadataPath } from "../../../build/release/layout.ts";
import { KEY_CHANGES_BYTES_MAX, METADATA_BYTES_MAX, OFFLINE_EXPIRY_DAYS } from "../../../build/release/limits.ts";
import { readRepository } from "../../../build/release/repository.ts";
import { Signing } from "../../../build/release/signing.ts";
import { FAULT_MESSAGE_BYTES_MAX } from "../../../hal/fault.ts";
import { DELEGATED_ROLES, keyIdOf, momentText, TOP_LEVEL_ROLES, tufKeyOf } from "../../../ota/trust/format/index.ts";
import { NOW_MS } from "../counterparts/repository.ts";
import { type Edge, hostileJson, membersIn, notIgnored, padded, text } from "./edge.ts";
import { scratch } from "./scratch.ts";
import { argumentEdge, type Command, keyEdge, refusing } from "./tools.ts";

const ROLES: readonly string[] = [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES];
const OFFLINE = { days: OFFLINE_EXPIRY_DAYS, offline: true };
const SIGNED_AT = { expires: momentText(NOW_MS + OFFLINE_EXPIRY_DAYS * 86_400_000), signedAt: momentText(NOW_MS) };

/** A directory of the release tool as `init` makes it, with what its edges need from it. */
async function openRoom() {
  const directory = scratch.path("room");
  await initialise(directory, NOW_MS);
  const layout = layoutOf(directory);
  const repository = await readRepository(layout);
  const before = notIgnored(repository.targets.get("os"));
  const authority = notIgnored(delegatedAuthority("os", repository.targets.get("targets")));
  const entry = { length: 1, hashes: { sha256: "ab".repeat(32) }, custom: { v: 1, line: "os", counter: 1 } };
  const targets = Object.fromEntries(Array.from({ length: 8000 }, (_, n) => [`os/gateway-${n}.json`, entry]));
  const draft = { ...before, version: 2, targets };
  const complete = { ...draft, ...SIGNED_AT };
  const begun = { signed: complete, signatures: signaturesOf(complete, [await readSigner(layout, "os")]) };
  return { directory, layout, repository, authority, draft, begun };
}

type Room = Awaited<ReturnType<typeof openRoom>>;

export async function signingEdges(): Promise<ReadonlyMap<string, Edge>> {
  const room = await openRoom();
  return new Map([...signatureEdges(room), ...roleKeyEdges(room), ...othersEdges(room), ...wordEdges(room)]);
}

function signatureEdges({ layout, authority, draft, begun }: Room): ReadonlyMap<string, Edge> {
  const signatures = Array.from({ length: 1000 }, () => ({ keyid: authority.role.keyids[0], sig: "ab".repeat(64) }));
  const edge = (take: Edge["take"]): Edge => ({
    bytesMax: METADATA_BYTES_MAX,
    take,
    valid: () => padded(Buffer.from(envelopeBytes(begun)).toString(), METADATA_BYTES_MAX),
    worst: new Map([
      ...hostileJson(METADATA_BYTES_MAX, {
        "the signed part": [`{"signatures":${JSON.stringify(begun.signatures)},"signed":`, "}"],
        "a signature": ['{"signed":{},"signatures":[', "]}"],
      }),
      [
        "signatures that are false",
        () => padded(JSON.stringify({ signed: begun.signed, signatures: signatures.slice(0, 8) }), METADATA_BYTES_MAX),
      ],
      ["signatures without end", () => padded(JSON.stringify({ signed: {}, signatures }), METADATA_BYTES_MAX)],
    ]),
  });
  const signs = async (signing: Signing): Promise<unknown> => {
    const work = await signing.work("os", draft, OFFLINE, [authority]);
    return notIgnored(work.signatures[0]);
  };
  return new Map([
    [
      "signatures for sallyport-release sign",
      edge(async (bytes) => {
        const signing = await Signing.open(layout, NO_KEYS, NOW_MS, [scratch.write("signatures.json", bytes)]);
        await signs(signing);
        signing.expectAllBroughtUsed();
      }),
    ],
    [
      "metadata that waits for signatures",
      edge(async (bytes) => {
        scratch.write("waiting/staged/signing/os.json", bytes);
        return await signs(await Signing.open(layoutOf(scratch.path("waiting")), NO_KEYS, NOW_MS, []));
      }),
    ],
  ]);
}

function roleKeyEdges({ directory, layout, repository }: Room): ReadonlyMap<string, Edge> {
  const keys = Object.fromEntries(
    Array.from({ length: 64 }, () => tufKeyOf(generateKeyPairSync("ed25519").publicKey)).map((key) => [keyIdOf(key), key]),
  );
  const change = { threshold: 64, keys };
  const publicPem = createPublicKey(readFileSync(`${layout.keys}/os.pem`)).export({ format: "pem", type: "spki" });
  const many = Object.entries(keys).flatMap(([id, key]) =>
    Array.from({ length: 18 }, (_, n) => [n.toString(16).padStart(4, "0") + id.slice(4), key] as const),
  );
  return new Map<string, Edge>([
    [
      "drafted changes of keys",
      {
        bytesMax: KEY_CHANGES_BYTES_MAX,
        take: async (bytes) => {
          scratch.write("changed/staged/keys.json", bytes);
          const changes = await readKeyChanges(layoutOf(scratch.path("changed")));
          topLevelAuthority("root", rootWith(repository.root, changes));
          return notIgnored(delegatedAuthority("os", targetsWith(notIgnored(repository.targets.get("targets")), changes)));
        },
        valid: () => padded(JSON.stringify(Object.fromEntries(ROLES.map((role) => [role, change]))), KEY_CHANGES_BYTES_MAX),
        worst: new Map([
          ...hostileJson(KEY_CHANGES_BYTES_MAX, {
            "a role": ['{"os":', "}"],
            "its keys": ['{"os":{"threshold":1,"keys":', "}}"],
            "a key": ['{"root":{"threshold":1,"keys":{"a":', "}}}"],
          }),
          [
            "keys without end",
            () => padded(JSON.stringify({ os: { threshold: 1, keys: Object.fromEntries(many) } }), KEY_CHANGES_BYTES_MAX),
          ],
        ]),
      },
    ],
    [
      "public key for sallyport-release keys",
      keyEdge(publicPem, async (bytes) => changeKeys(directory, "os", [scratch.write("edge.pub", bytes)], 1)),
    ],
    [
      "key for sallyport-release sign",
      keyEdge(readFileSync(`${layout.keys}/os.pem`, "utf8"), async (bytes) =>
        Keyring.open(layout, [scratch.write("holder.pem", bytes)]),
      ),
    ],
  ]);
}

function othersEdges({ layout }: Room): ReadonlyMap<string, Edge> {
  const path = metadataPath(layout, "os", 1);
  const genuine = readFileSync(path, "utf8");
  const { signatures } = membersIn(genuine);
  const root = readFileSync(metadataPath(layout, "root", 1));
  return new Map<string, Edge>([
    [
      "repository that came from others",
      {
        bytesMax: METADATA_BYTES_MAX,
        take: async (bytes) => {
          scratch.write("room/repository/metadata/1.os.json", bytes);
          try {
            await expectVouched(layout, await readRepository(layout), undefined);
          } finally {
            scratch.write("room/repository/metadata/1.os.json", genuine);
          }
        },
        valid: () => padded(genuine, METADATA_BYTES_MAX),
        worst: hostileJson(METADATA_BYTES_MAX, {
          "the signed part": [`{"signatures":${JSON.stringify(signatures)},"signed":`, "}"],
          targets: [`{"signatures":[],"signed":{"_type":"targets","version":1,"expires":"","targets":`, "}}"],
        }),
      },
    ],
    [
      "own root for sallyport-release sign",
      {
        bytesMax: METADATA_BYTES_MAX,
        take: async (bytes) => expectOwnRoot(layout, scratch.write("own-root.json", bytes)),
        valid: () => root,
        worst: new Map([
          ["text", text("a", METADATA_BYTES_MAX)],
          ["the root, and more", () => padded(root.toString(), METADATA_BYTES_MAX)],
        ]),
      },
    ],
  ]);
}

function wordEdges({ directory }: Room): ReadonlyMap<string, Edge> {
  const asRelease = async (argv: readonly string[]): Promise<void> =>
    await refusing(async (print) =>
      run(argv, { out: () => undefined, err: print, shown: async () => undefined, nowMs: () => NOW_MS }),
    );
  const valid: Command = () => ["drafts", directory];
  const paths = argumentEdge(
    valid,
    {
      "a key": (argument) => ["sign", directory, `--key=${argument}`],
      signatures: (argument) => ["sign", directory, `--signatures=${argument}`],
      "an own root": (argument) => ["sign", directory, `--root=${argument}`],
      "a key of a role": (argument) => ["keys", directory, "os", `--key=${argument}`],
      "a key file to make": (argument) => ["keygen", "--", argument],
    },
    asRelease,
  );
  const words = argumentEdge(
    valid,
    {
      "a role": (argument) => ["keys", directory, "--", argument],
      "a threshold": (argument) => ["keys", directory, "os", `--threshold=${argument}`],
      "what is removed": (argument) => ["remove", directory, "--", argument],
    },
    asRelease,
  );
  return new Map([
    ["words of sallyport-release keys and remove", words],
    ["paths of sallyport-release sign and keys", { ...paths, quotedMax: FAULT_MESSAGE_BYTES_MAX }],
  ]);
}
