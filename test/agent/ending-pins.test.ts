import { test } from "tap";
import { parseAnchors } from "../../agent/config.ts";
import { endingPins, PIN_ENDING_MS } from "../../agent/ending-pins.ts";
import { anchorsFile, makeSigner } from "../lab/counterparts/hub-signer.ts";
import { issueAgain, makeAuthority } from "../lab/counterparts/pki.ts";
import { needs } from "../lab/runner/needs.ts";

const DAY_MS = 86_400_000;

test(
  "[ID-86] the end of the last pin of a service is a trouble in time, and while the time is not known it is none",
  { skip: needs("openssl") },
  async (t) => {
    const directory = t.testdir();
    const lasting = makeAuthority(directory, "lasting");
    const endsMs = Math.floor(Date.now() / 1000) * 1000 + 30 * DAY_MS;
    const ending = issueAgain(directory, "ending", makeAuthority(directory, "root"), lasting, { notAfter: new Date(endsMs) });
    const anchors = parseAnchors(anchorsFile(makeSigner("hub", "ed25519"), makeSigner("hub", "cosignature/v1")), "hub.json");
    const clock = (nowMs: number, state: "unset" | "unverified" = "unverified") => ({ state, nowMs, floorMs: 0 });
    const now = clock(Date.now());
    t.same(endingPins({ ...anchors, authority: lasting.cert }, now), []);
    t.same(endingPins({ ...anchors, authority: `${ending.cert}${lasting.cert}` }, now), [], "another one lasts");
    const all = { ...anchors, authority: ending.cert };
    t.match(endingPins(all, now), [
      { code: "tls.pin-ending", message: `of est, broker, repository, time ends at ${new Date(endsMs).toISOString()}, and` },
    ]);
    t.same(endingPins(all, clock(endsMs - PIN_ENDING_MS - 1000)), []);
    t.match(endingPins(all, clock(endsMs + 1000)), [{ message: /has ended at/u }]);
    t.same(endingPins(all, undefined), []);
    t.same(endingPins(all, clock(endsMs, "unset")), []);
    const broker = { ...anchors, authority: lasting.cert, services: { broker: { authority: ending.cert } } };
    t.match(endingPins(broker, now), [{ message: /of broker ends at/u }]);
  },
);
