// The order of TLS handshakes: whose turn comes when, and who has to wait.
import { setImmediate as turn } from "node:timers/promises";
import { test } from "tap";
import { HandshakeQueue } from "../../hub/handshakes.ts";
import { HANDSHAKES_PER_TURN } from "../../hub/limits.ts";
import { Pace } from "../../hub/pace.ts";

function queue(burst = 1000) {
  const clock = { nowMs: 0 };
  const paced: string[] = [];
  const begun: string[] = [];
  const pace = new Pace({ burst, perSecond: 1, nowMs: () => clock.nowMs });
  const handshakes = new HandshakeQueue({ pace, onPaced: (source) => paced.push(source) });
  const enter = (source: string, name = source) => handshakes.enter(source, () => begun.push(name));
  return { clock, paced, begun, enter, handshakes };
}

/** Waits for as many turns of the event loop as it takes. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await turn();
}

test("[TUN-24] a turn of the event loop begins few handshakes, and none in the turn in which a connection came", async (t) => {
  const { begun, enter } = queue();
  for (let n = 0; n < 5; n++) enter("a");
  t.equal(begun.length, 0);
  const counts: number[] = [];
  for (let n = 0; begun.length < 5; n++) {
    const before = begun.length;
    await turn();
    counts.push(begun.length - before);
  }
  t.ok(
    counts.every((count) => count <= HANDSHAKES_PER_TURN),
    counts.join(" "),
  );
});

test("[TUN-24] addresses take turns: one with a thousand connections delays another one by one handshake", async (t) => {
  const { begun, enter } = queue(10_000);
  for (let n = 0; n < 1000; n++) enter("flood");
  enter("b");
  enter("c");
  await until(() => begun.includes("b") && begun.includes("c"));
  t.ok(begun.length <= 2 * HANDSHAKES_PER_TURN + 2, begun.join(" "));
});

test("[TUN-24] an address from which a device is known goes before a crowd of addresses that nobody knows", async (t) => {
  const { begun, enter, handshakes } = queue();
  for (let n = 0; n < 400; n++) enter(`stranger-${n}`);
  handshakes.proven("site");
  for (let n = 0; n < 30; n++) enter("site");
  await until(() => begun.filter((name) => name === "site").length === 30);
  t.ok(begun.length <= 30 + 30 / 3 + HANDSHAKES_PER_TURN + 1, `${begun.length} handshakes, 30 of them of the site`);
  await until(() => begun.length === 430);
});

test("[TUN-24] an address over its pace waits and is noted once, others do not wait, and what a device showed is given back", async (t) => {
  const { begun, clock, enter, handshakes, paced } = queue(3);
  for (let n = 0; n < 5; n++) enter("a");
  const last = enter("a", "gave up");
  enter("b");
  await until(() => begun.length === 4 && paced.length > 0);
  t.same(begun.toSorted(), ["a", "a", "a", "b"]);
  t.same(paced, ["a"]);
  handshakes.proven("a");
  await until(() => begun.length === 5);
  clock.nowMs = 1000;
  await until(() => begun.length === 6);
  last.leave();
  clock.nowMs = 5000;
  enter("a", "later");
  await until(() => begun.length === 7);
  t.equal(begun.at(-1), "later", "whoever left has no turn");
});
