// The courier of the escrow note, between a warden and a hub that a test plays.
import { test } from "tap";
import { ANSWER_WAIT_MS_MAX, CLOSED_RETRY_MS, createEscrowCourier, LOOK_MS, RETRY_MS_MIN } from "../../agent/escrow.ts";
import { Fault } from "../../hal/fault.ts";
import { fakeClock } from "../lab/fakes/clock.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { eventually } from "../lab/runner/process.ts";

function world(t: TestContext) {
  const clock = fakeClock();
  const confirmed: string[] = [];
  const warden = { note: "note 1", isSealed: true };
  const delivered: string[] = [];
  const hub = { answers: true, isDown: false };
  const courier = createEscrowCourier({
    clock,
    random: () => 1,
    held: async () =>
      warden.isSealed
        ? { state: "sealed", note: warden.note, escrowed: confirmed.includes(`${warden.note}, cosigned`) }
        : { state: "none", why: "no key" },
    confirm: async (note) => void confirmed.push(note),
    deliver: async ({ note }) => {
      if (hub.isDown) throw new Fault("tunnel.closed", "not connected");
      delivered.push(note);
      if (hub.answers) setImmediate(() => courier.answer(`${note}, cosigned`));
    },
  });
  t.teardown(() => courier.stop());
  /** Until the courier has nothing to do before its next look. */
  const resting = async (): Promise<void> => {
    const isResting = (wakeMs = 0): boolean => wakeMs > ANSWER_WAIT_MS_MAX && wakeMs <= LOOK_MS;
    await eventually("the courier rests", async () => (isResting(clock.nextWakeMs) ? true : undefined));
  };
  return { clock, warden, hub, courier, confirmed, delivered, resting };
}

test("[TUN-60] the note goes to the hub once after each start, and the warden gets the hub's cosignature", async (t) => {
  const { clock, warden, courier, confirmed, delivered, resting } = world(t);
  courier.connected();
  await resting();
  t.same(delivered, ["note 1"]);
  t.same(confirmed, ["note 1, cosigned"]);
  await clock.advance(100 * LOOK_MS);
  courier.disconnected();
  courier.connected();
  await resting();
  t.same(delivered, ["note 1"], "a new connection is no reason to send it again");
  warden.note = "note 2";
  await clock.advance(LOOK_MS);
  await resting();
  t.same(delivered, ["note 1", "note 2"], "another note is");
  t.equal(courier.trouble(), undefined);
});

test("[TUN-60] an escrowed note is delivered once more by an agent that has just started", async (t) => {
  const { courier, confirmed, delivered, resting } = world(t);
  confirmed.push("note 1, cosigned");
  courier.connected();
  await resting();
  t.same(delivered, ["note 1"], "a hub that lost it has it again");
});

test("[TUN-60] a hub that does not answer is asked again, ever less often, and the status says what to do", async (t) => {
  const { clock, hub, courier, delivered, confirmed, resting } = world(t);
  hub.answers = false;
  courier.connected();
  for (let n = 1; n <= 4; n += 1) {
    await eventually(`delivery ${n}`, async () => (delivered.length === n && clock.sleeping > 0 ? true : undefined));
    await clock.advance(ANSWER_WAIT_MS_MAX);
    t.match(courier.trouble(), { code: "tunnel.timeout", message: /devices approve --changed/u });
    t.equal(clock.nextWakeMs, RETRY_MS_MIN * 2 ** (n - 1));
    if (n < 4) await clock.advance(RETRY_MS_MIN * 2 ** (n - 1));
  }
  hub.answers = true;
  await clock.advance(RETRY_MS_MIN * 8);
  await resting();
  t.same(confirmed, ["note 1, cosigned"]);
  t.equal(courier.trouble(), undefined);
});

test("[TUN-60] what is lost with a connection goes out over the next one; without a note nothing does", async (t) => {
  const { clock, warden, hub, courier, delivered, confirmed, resting } = world(t);
  warden.isSealed = false;
  courier.connected();
  await resting();
  t.same(delivered, []);
  warden.isSealed = true;
  hub.answers = false;
  await clock.advance(LOOK_MS);
  await eventually("the delivery", async () => (delivered.length === 1 ? true : undefined));
  courier.disconnected();
  hub.isDown = true;
  courier.connected();
  await eventually("the refusal", async () => (clock.nextWakeMs === undefined ? undefined : true));
  t.equal(courier.trouble(), undefined, "the end of a connection is no trouble of the escrow");
  [hub.isDown, hub.answers] = [false, true];
  await clock.advance(CLOSED_RETRY_MS);
  await resting();
  t.same(confirmed, ["note 1, cosigned"]);
});
