// Whether a disk is on the board that it was born on, as a table.
import { test } from "tap";
import * as v from "valibot";
import { type Board, birthRecordSchema, type HardwareFacts } from "../../../hal/format/identity.ts";
import { createBirthBook, createBoardWatch, readAdmittedBoard, settleIdentity } from "../../../warden/identity/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";

const KEY = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;
const [A, B, C, D] = ["00:1b:21:3a:4f:58", "00:1b:21:3a:4f:59", "00:1b:99:3a:4f:58", "00:1b:99:3a:4f:59"];
const [SERIAL, OTHER] = ["SPG2-0A1B2C3D", "SPG2-CLONE0002"];

function factsOf({ serial, macs }: { readonly serial?: string | undefined; readonly macs: readonly string[] }): HardwareFacts {
  return {
    commissionedId: undefined,
    serials: serial === undefined ? ["Default string"] : [serial],
    interfaces: macs.map((mac, at) => ({ name: `eth${at}`, mac })),
    model: undefined,
  };
}

function born(board: Board | undefined, id = SERIAL, source = "serial") {
  return v.parse(birthRecordSchema, { v: board === undefined ? 2 : 3, id, source, ...KEY, ...(board && { board }) });
}

const FULL = { serial: SERIAL, macs: [A, B] };
const NAMELESS = { macs: [A, B] };

for (const [what, birth, found, code] of [
  ["the very board", born(FULL), FULL, undefined],
  ["its cards in another order, and one more", born(FULL), { serial: SERIAL, macs: [D, B, A] }, undefined],
  ["one card replaced", born(FULL), { serial: SERIAL, macs: [A, D] }, undefined],
  ["every card replaced", born(FULL), { serial: SERIAL, macs: [C, D] }, undefined],
  ["another serial with the same cards", born(FULL), { serial: OTHER, macs: [A, B] }, "identity.changed"],
  ["another serial and one card replaced", born(FULL), { serial: OTHER, macs: [A, D] }, "identity.changed"],
  ["serial and every MAC differ", born(FULL), { serial: OTHER, macs: [C, D] }, "identity.other-board"],
  ["another serial, no card's driver there yet", born(FULL), { serial: OTHER, macs: [] }, "identity.changed"],
  ["the serial is lost, and every card is another", born(FULL), { macs: [C] }, "identity.other-board"],
  ["an old record does not know its board", born(undefined), { serial: OTHER, macs: [C, D] }, "identity.changed"],
  ["a board without a serial, one card replaced", born(NAMELESS, "001b213a4f58", "mac"), { macs: [B, C] }, "identity.changed"],
  ["a board without a serial, other MACs", born(NAMELESS, "001b213a4f58", "mac"), { macs: [C, D] }, "identity.other-board"],
  [
    "a board without a serial, no card's driver there yet",
    born(NAMELESS, "001b213a4f58", "mac"),
    { macs: [] },
    "identity.no-source",
  ],
  ["a board without a serial, other MACs and a serial", born(NAMELESS), { serial: OTHER, macs: [C, D] }, "identity.other-board"],
  ["a board without a serial, its MACs and a serial", born(NAMELESS), { serial: OTHER, macs: [A, B] }, "identity.changed"],
  [
    "a board without a card, another serial",
    born({ serial: SERIAL, macs: [] }),
    { serial: OTHER, macs: [] },
    "identity.other-board",
  ],
  ["a board without a card, its serial is lost", born({ serial: SERIAL, macs: [] }), { macs: [C] }, "identity.changed"],
  ["the serial is lost", born(FULL), { macs: [B, A] }, "identity.changed"],
  ["nothing is known of either", born({ macs: [] }, "GW-7", "commissioned"), { macs: [] }, "identity.no-source"],
  ["an id of its own on the first board", born(FULL, "GW-7", "commissioned"), FULL, "identity.changed"],
] as const)
  test(`[ID-96] ${what}: ${code ?? "the same board"}; the id stays`, async (t) => {
    const { identity, trouble } = settleIdentity(factsOf(found), birth);
    t.equal(identity.id, birth.id);
    t.equal(trouble?.code, code);
    if (code === "identity.other-board")
      t.match(trouble?.message, /born on .*; this is .*left to the first board; .*devices board/u);
  });

test("[ID-96] the birth record has the board, also after the key was replaced, and an older program reads it", async (t) => {
  const files = fakeFiles();
  const births = createBirthBook(files);
  const { identity } = settleIdentity(factsOf(FULL), undefined);
  t.match(await births.record(identity, KEY), { v: 3, board: FULL });
  const to = { protection: "tpm", keyFingerprint: `sha256:${"cd".repeat(32)}` } as const;
  t.match(await births.replace(to, { from: KEY.keyFingerprint, to: "tpm" }), { board: FULL, previous: KEY.keyFingerprint });
});

test("[ID-96] a card whose driver comes late shows the other board at the next look, which is recorded once", async (t) => {
  const births = createBirthBook(fakeFiles());
  await births.record(settleIdentity(factsOf(FULL), undefined).identity, KEY);
  const told: string[] = [];
  let facts = factsOf({ serial: OTHER, macs: [] });
  const watch = createBoardWatch({
    hardware: { facts: async () => facts },
    births,
    files: fakeFiles(),
    trouble: undefined,
    onOther: async ({ code }) => void told.push(code),
  });
  t.match(await watch.look(), { verdict: "changed" });
  facts = factsOf({ serial: OTHER, macs: [C, D] });
  t.match(await watch.look(), { verdict: "other", found: { serial: OTHER, macs: [C, D] } });
  t.match(watch.troubles(), [{ code: "identity.other-board" }]);
  await watch.look();
  t.same(told, ["identity.other-board"]);
  facts = factsOf({ macs: [] });
  t.match(await watch.look(), { verdict: "changed", found: { macs: [] } }, "nothing is known of it any more");
  facts = factsOf(FULL);
  t.match(await watch.look(), { verdict: "same" });
  t.same(watch.troubles(), []);
});

test("[ID-96] the owner names the board that the disk was moved to, in a file; a third board does not fit it", async (t) => {
  const files = fakeFiles();
  t.equal(await readAdmittedBoard(files), undefined);
  await files.put("board", Buffer.from(`${OTHER}\r\n`));
  const admitted = await readAdmittedBoard(files);
  const verdict = (serial: string) => settleIdentity(factsOf({ serial, macs: [C, D] }), born(FULL), admitted).trouble?.code;
  t.equal(verdict(OTHER), "identity.changed");
  t.equal(verdict("SPG2-CLONE0003"), "identity.other-board");
  await files.put("board", Buffer.from(`${C.toUpperCase().replaceAll(":", "-")}\n`));
  const byMac = await readAdmittedBoard(files);
  const nameless = (macs: readonly string[]) => settleIdentity(factsOf({ macs }), born(NAMELESS), byMac).trouble?.code;
  t.equal(nameless([D, C]), "identity.changed", "a board without a serial, by one of its MACs");
  t.equal(nameless([D]), "identity.other-board");
  await files.put("board", Buffer.alloc(4096, 0x41));
  t.equal(await readAdmittedBoard(files), undefined, "what is too large admits nobody");
});
