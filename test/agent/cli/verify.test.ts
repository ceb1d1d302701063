// Offline verification by an auditor: an intact log, and logs that were really tampered with.
import { test } from "tap";
import { parseInvocation } from "../../../agent/cli/arguments.ts";
import { type Directory, verify } from "../../../agent/cli/verify.ts";
import { Fault } from "../../../hal/fault.ts";
import { noteKey, type SmallTrail, smallTrail } from "../../lab/worlds/trail.ts";

const trail = smallTrail("gw-0042", 20);

function directory(files: Readonly<Record<string, Uint8Array | string>>): Directory {
  return {
    names: () => Object.keys(files).sort(),
    read(name, bytesMax) {
      const file = files[name];
      const bytes = typeof file === "string" ? Buffer.from(file) : file;
      if (bytes !== undefined && bytes.byteLength > bytesMax) throw new Fault("file.too-large", name);
      return bytes;
    },
  };
}

function ask(
  files: Readonly<Record<string, Uint8Array | string>>,
  options: { witness?: string; key?: string; checkpoints?: readonly string[] } = {},
  of: SmallTrail = trail,
) {
  const witness = options.witness === undefined ? [] : ["--witness", options.witness];
  const invocation = parseInvocation(["audit", "verify", "/copy", "--key", options.key ?? of.vkey, ...witness]);
  if (invocation.command !== "audit verify") throw new Fault("assert.broken", "it is a verification");
  return verify(invocation, {
    log: directory({ [of.segmentName]: of.segment, ...files }),
    state: directory(files),
    checkpoints: options.checkpoints ?? [],
  });
}

test("[AUD-8] a log that contains what the witness cosigned is verified", async (t) => {
  const verdict = ask(
    { "witnessed.note": trail.note(15, trail.witness), "audit-closed.note": trail.note(20) },
    { witness: trail.witnessVkey },
  );
  t.equal(verdict.verified, true);
  t.equal(
    verdict.text,
    "audit log sound: entries 0 to 19; 20 of 20 vouched for by signed checkpoints\nthe witness has seen the first 15 entries\n",
  );
  t.match(JSON.parse(verdict.json), { v: 1, verified: true, size: 20, vouched: 20, witnessed: 15 });
});

test("without a witness key the device's own checkpoints vouch; the hub's can be added", async (t) => {
  t.equal(ask({ "audit-closed.note": trail.note(20) }).verified, true);
  t.equal(ask({}, { checkpoints: [trail.note(20, trail.witness)], witness: trail.witnessVkey }).verified, true);
});

test("[AUD-22] one flipped byte anywhere in the log is found, and its entry is named", async (t) => {
  for (const entry of [0, 7, 19]) {
    const segment = Buffer.from(trail.segment);
    const at = (trail.offsets[entry] ?? 0) + 40;
    segment[at] = (segment[at] ?? 0) ^ 1;
    const verdict = ask({ [trail.segmentName]: segment, "audit-closed.note": trail.note(20) });
    t.equal(verdict.verified, false);
    t.match(verdict.text, new RegExp(`\\b${entry}\\b`, "u"), verdict.text);
  }
});

test("a truncated, an empty and a replaced log are not verified", async (t) => {
  const note = { "audit-closed.note": trail.note(20) };
  t.equal(ask({ ...note, [trail.segmentName]: trail.segment.subarray(0, trail.offsets[12]) }).verified, false);
  t.equal(ask({ ...note, [trail.segmentName]: new Uint8Array() }).verified, false);
  t.equal(ask({ ...note, [trail.segmentName]: smallTrail("gw-0042", 20).segment }).verified, false, "rewritten with another key");
});

test("a log without a vouching checkpoint is not verified, because an attacker would remove the checkpoints", async (t) => {
  const verdict = ask({});
  t.equal(verdict.verified, false);
  t.match(verdict.text, "NOT VERIFIED: no signed checkpoint vouches for this log; fetch the hub's last one");
  const unwitnessed = ask({ "audit-closed.note": trail.note(20) }, { witness: trail.witnessVkey });
  t.equal(unwitnessed.verified, false, "the device's own checkpoint is not the witness's");
});

test("foreign checkpoints are refused: wrong device key, wrong witness, no cosignature", async (t) => {
  const other = smallTrail("gw-0042", 20);
  const stranger = noteKey("sallyport-hub/test", "cosignature/v1");
  t.throws(() => ask({ "audit-closed.note": other.note(20) }), { code: "note.bad-signature" });
  t.throws(() => ask({ "witnessed.note": trail.note(20) }, { witness: trail.witnessVkey }), { code: "note.bad-signature" });
  t.throws(() => ask({ "witnessed.note": trail.note(20, stranger) }, { witness: trail.witnessVkey }), {
    code: "note.bad-signature",
  });
  t.throws(() => ask({ "witnessed.note": "no note" }), { code: "note.invalid" });
});

test("a directory without a log is refused with a hint", async (t) => {
  const invocation = parseInvocation(["audit", "verify", "/copy", "--key", trail.vkey]);
  if (invocation.command !== "audit verify") throw t.fail("it is a verification");
  const nothing = { log: directory({}), state: directory({}), checkpoints: [] };
  t.throws(() => verify(invocation, nothing), { code: "file.not-regular", message: /holds no segment of an audit log/ });
});
