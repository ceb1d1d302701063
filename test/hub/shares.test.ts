// Shares and paces: who makes room for whom, and what is paid back.
import { test } from "tap";
import { Pace } from "../../hub/pace.ts";
import { Shares } from "../../hub/shares.ts";

function crowd(countMax: number, ofSourceMax: number) {
  const shares = new Shares({ countMax, ofSourceMax });
  const evicted: string[] = [];
  const enter = (source: string, name: string) => shares.enter(source, () => evicted.push(name));
  return { shares, evicted, enter };
}

test("[TUN-23] a source beyond its share loses its own oldest", async (t) => {
  const { evicted, enter, shares } = crowd(10, 2);
  for (const name of ["a1", "a2", "a3", "a4"]) enter("a", name);
  enter("b", "b1");
  t.same(evicted, ["a1", "a2"]);
  t.equal(shares.count, 3);
});

test("[TUN-23] when all places are taken, the source with the most gives one", async (t) => {
  const { evicted, enter } = crowd(4, 4);
  for (const name of ["a1", "a2", "a3"]) enter("a", name);
  enter("b", "b1");
  enter("c", "c1");
  t.same(evicted, ["a1"]);
  enter("c", "c2");
  t.same(evicted, ["a1", "c1"], "a tie is lost by the one that comes");
});

test("[TUN-23] a place that was given back is free, once", async (t) => {
  const { evicted, enter, shares } = crowd(2, 2);
  const first = enter("a", "a1");
  first.leave();
  first.leave();
  enter("a", "a2");
  enter("a", "a3");
  t.same(evicted, []);
  t.equal(shares.count, 2);
});

test("[TUN-23] each source has a pace of its own, and its debt is paid back", async (t) => {
  const clock = { ms: 0 };
  const pace = new Pace({ burst: 2, perSecond: 10, nowMs: () => clock.ms });
  t.same([pace.take("a"), pace.take("a"), pace.take("a"), pace.take("b")], [true, true, false, true]);
  clock.ms = 100;
  t.same([pace.take("a"), pace.take("a")], [true, false], "one unit in 100 ms");
  t.equal(pace.charge("c", 12), 1000, "ten units over the burst are paid back in a second");
  clock.ms = 1200;
  t.equal(pace.charge("c", 0), 0);
});
