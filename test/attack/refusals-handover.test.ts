// Files that a captured agent hands over. Whatever lies in the place of a metadata file, the warden
// refuses it with a short message and repeats nothing of its content, and status.read works.
import { test } from "tap";
import { Fault, FAULT_MESSAGE_BYTES_MAX } from "../../hal/fault.ts";
import { PROTOCOL_LINE_BYTES_MAX, WARDEN_TROUBLES_MAX } from "../../warden/protocol/format.ts";
import { encodeResult } from "../../warden/protocol/codec.ts";
import { troublesForStatus } from "../../warden/verbs.ts";
import { targetsRig } from "../lab/worlds/targets.ts";
import { handoverName } from "../../ota/fetch/index.ts";
import { faultOf } from "../lab/runner/faults.ts";

const SECRET = "root:$6$saltsalt$hash";

/** 256 KiB each, in the place of `2.root.json` and of `timestamp.json`. */
const HOSTILE: Readonly<Record<string, (bytes: number) => string>> = {
  "a file that is not metadata at all": (bytes) => `${SECRET}\n`.repeat(bytes / 32),
  "an unsigned file of wrong keys": (bytes) =>
    `{"signatures":[],"signed":{"_type":"root","keys":{${list(bytes / 40, (n) => `"${SECRET}${n}":1`)}}}}`,
  "wrong signatures": (bytes) => `{"signed":{},"signatures":[${list(bytes / 40, () => `"${SECRET}"`)}]}`,
  "a signature under a secret name": (bytes) =>
    `{"signed":{"x":"${"x".repeat(bytes - 200)}"},"signatures":[{"keyid":"${SECRET}","sig":"${SECRET}"}]}`,
  "lists in lists": (bytes) => "[".repeat(bytes),
};

function list(count: number, item: (n: number) => string): string {
  return Array.from({ length: Math.floor(count) }, (_, n) => item(n)).join(",");
}

for (const [what, make] of Object.entries(HOSTILE))
  for (const [name, bytes] of [
    ["2.root.json", 262_144],
    ["timestamp.json", 32_768],
  ] as const)
    test(`[STA-10] [STA-11] ${name} is ${what}: a short refusal that repeats nothing of it`, async (t) => {
      const rig = targetsRig();
      const targets = await rig.open();
      const text = make(bytes).slice(0, bytes);
      rig.dropped.set(handoverName(`metadata/${name}`), Buffer.from(text));
      const absent = name === "2.root.json" ? [] : ["metadata/2.root.json"];
      const fault = await faultOf(() => targets.refresh(absent));
      t.match(fault.code, /^trust\./u);
      const said = [fault, ...targets.troubles(), ...rig.faults].map(({ message }) => message);
      const recorded = rig.entries.map((entry) => JSON.stringify(entry));
      t.ok(rig.events("trust.refused").length > 0, "the refusal is recorded");
      for (const words of [...said, ...recorded]) {
        t.ok(Buffer.byteLength(words) <= FAULT_MESSAGE_BYTES_MAX, `${Buffer.byteLength(words)} bytes`);
        t.notMatch(words, /root:|saltsalt/u, "nothing of the file is repeated");
      }
    });

test("[STA-10] status.read fits into a line whatever the troubles say", async (t) => {
  for (const text of ["\u0001", '"', "\\", "\u20ac", "\u{1f600}", "a"]) {
    const troubles = Array.from(
      { length: 2 * WARDEN_TROUBLES_MAX },
      () => new Fault("trust.invalid", text.repeat(13_500_000 / 4)),
    );
    const shown = troublesForStatus(troubles);
    t.equal(shown.length, WARDEN_TROUBLES_MAX);
    const line = encodeResult(1, { troubles: shown });
    // what else a status holds has at most 8 KiB
    t.ok(Buffer.byteLength(line) <= PROTOCOL_LINE_BYTES_MAX - 8192, `${Buffer.byteLength(line)} bytes of ${text}`);
  }
});
