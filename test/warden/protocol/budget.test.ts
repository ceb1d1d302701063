// The request budget, on a clock that a test moves.
import { test } from "tap";
import { createRequestBudget } from "../../../warden/protocol/index.ts";
import {
  REFUSAL_COST_BYTES,
  REQUEST_BYTES_BURST_MAX,
  REQUEST_BYTES_PER_SECOND_MAX,
  REQUEST_COST_BYTES,
} from "../../../warden/protocol/limits.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";

const never = new AbortController().signal;
const LIMITS = { bytesPerSecond: 10_000, burstBytes: 10_000 };

/** Lets the calls that can be served be served: each takes a turn of the loop. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
}

test("[OPS-10] lines are paid by their bytes: a long line makes the next one wait in proportion", async (t) => {
  const clock = fakeClock();
  const budget = createRequestBudget(clock, LIMITS);
  t.ok(await budget.pay(30_000 - REQUEST_COST_BYTES, never), "a debt is allowed, or no long line would ever be served");
  let served = false;
  void budget.pay(1, never).then(() => (served = true));
  await turns();
  // the debt is bounded by the burst
  await clock.advance(999);
  await turns();
  t.notOk(served);
  await clock.advance(2);
  await turns();
  t.ok(served);
});

test("[OPS-10] a refusal costs more than its line", async (t) => {
  const clock = fakeClock();
  const budget = createRequestBudget(clock, LIMITS);
  for (let n = 0; n < 2; n++) {
    t.ok(await budget.pay(0, never));
    budget.chargeRefusal();
  }
  const debt = 2 * (REQUEST_COST_BYTES + REFUSAL_COST_BYTES) - LIMITS.burstBytes;
  let served = false;
  void budget.pay(0, never).then(() => (served = true));
  await turns();
  await clock.advance(Math.floor((debt * 1000) / LIMITS.bytesPerSecond) - 1);
  await turns();
  t.notOk(served);
  await clock.advance(2);
  await turns();
  t.ok(served);
});

test("[OPS-10] lines that wait are served in their order, and one whose connection ended is not served", async (t) => {
  const clock = fakeClock();
  const budget = createRequestBudget(clock, LIMITS);
  await budget.pay(20_000, never);
  const gone = new AbortController();
  const order: string[] = [];
  void budget.pay(0, never).then((ok) => order.push(`a ${ok}`));
  void budget.pay(0, gone.signal).then((ok) => order.push(`b ${ok}`));
  void budget.pay(0, never).then((ok) => order.push(`c ${ok}`));
  gone.abort();
  await turns();
  for (let n = 0; n < 5; n++) {
    await clock.advance(1000);
    await turns();
  }
  t.same(order, ["a true", "b false", "c true"]);
});

test("[OPS-10] an honest agent's two hundred short requests a second pass", async (t) => {
  t.ok(200 * (REQUEST_COST_BYTES + 200) <= REQUEST_BYTES_PER_SECOND_MAX);
  t.ok(200 * (REQUEST_COST_BYTES + 200) <= REQUEST_BYTES_BURST_MAX);
});
