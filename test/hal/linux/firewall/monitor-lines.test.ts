// What nft's monitor prints, as both builds print it: which transactions of others touch our table.
import { test } from "tap";
import { MonitorReader } from "../../../../hal/linux/firewall/monitor-lines.ts";
import { OwnProcesses } from "../../../../hal/linux/firewall/monitor.ts";

const FLUSH = `delete rule inet sallyport output handle 3
delete set inet sallyport askers4
delete chain inet sallyport output
delete table inet sallyport
delete table ip other
# new generation 4 by process 4289 (nft)
`;

test("[LCK-69] a transaction that touches our table is told at its end, with who made it and its first step", async (t) => {
  for (const [text, told] of [
    [FLUSH, [{ pid: 4289, by: "nft (4289)", what: "delete rule inet sallyport output handle 3" }]],
    [
      "add table inet sallyport { flags dormant; }\n# new generation 5 by process 7 (ld-linux-x86-64)\n",
      [{ pid: 7, by: "ld-linux-x86-64 (7)", what: "add table inet sallyport { flags dormant; }" }],
    ],
    ["insert rule inet sallyport input accept\n# new generation 6 by process 8 (a) b)\n", [{ pid: 8, by: "a) b (8)" }]],
    ["add element inet sallyport askers4 { 1.1.1.1 . 5 . 6 }\n# new generation 6 by process 8 (nft)\n", [{ pid: 8 }]],
    ["add ct helper inet sallyport f { }\n# new generation 6 by process 8 (nft)\n", [{ pid: 8 }]],
    ["# ERROR: We lost some netlink events!\n", [{ pid: undefined, what: "unknown" }]],
  ] as const) {
    t.match(new MonitorReader().read(text), told, text);
    const reader = new MonitorReader();
    t.match(Array.from(text, (unit) => reader.read(unit)).flat(), told, "in any pieces");
  }
  for (const text of [
    "add table inet sallyport2\n# new generation 5 by process 7 (nft)\n",
    "add table ip sallyport\n# new generation 5 by process 7 (nft)\n",
    'add rule inet other input comment "inet sallyport" accept\n# new generation 5 by process 7 (nft)\n',
    "add element inet other big { 1.1.1.1 }\n# new generation 5 by process 7 (nft)\n",
    "# new generation 5 by process 7 (nft)\n",
    "delete table inet sallyport\n",
    "",
  ])
    t.same(new MonitorReader().read(text), [], text);
});

test("[LCK-69] a table is told as deleted only where that is the last thing the transaction did to it", async (t) => {
  const made = "add table inet sallyport\nadd chain inet sallyport input { type filter hook input priority 0; }\n";
  const end = "# new generation 4 by process 4289 (nft)\n";
  const lost = "# ERROR: We lost some netlink events!\n";
  for (const [text, isDeleted] of [
    [FLUSH, true],
    [`delete table inet sallyport\n${end}`, true],
    [`destroy table inet sallyport\n${end}`, true],
    // as this program replaces it, and as nft -f of a saved ruleset does
    [`add table inet sallyport\ndelete chain inet sallyport input\ndelete table inet sallyport\n${made}${end}`, undefined],
    [`delete chain inet sallyport output\n${end}`, undefined],
    [`delete table inet sallyport2\ndelete rule inet sallyport input handle 3\n${end}`, undefined],
    [`delete table inet sallyport\n${lost}${end}`, undefined],
    [`${FLUSH}insert rule inet sallyport input accept\n${end}`, undefined],
  ] as const)
    t.equal(new MonitorReader().read(text).at(-1)?.isDeleted, isDeleted, text);
});

test("[LCK-69] what is not ours costs no memory: a line without end, and text that is no text", async (t) => {
  const reader = new MonitorReader();
  for (let n = 0; n < 100; n += 1) t.same(reader.read(`add element inet other s { ${"1.1.1.1, ".repeat(10_000)}`), []);
  t.equal(reader.read(`}\n${FLUSH}`).length, 1);
  const [told] = reader.read(
    "add rule inet sallyport input \u001b[2J\u0007 accept\n# new generation 6 by process 8 (n\u001bt)\n",
  );
  t.notMatch(JSON.stringify(told), /\\u001b|\\u0007/u);
});

test("[LCK-69] the last processes of ours are recognized, and no others", async (t) => {
  const own = new OwnProcesses();
  for (let pid = 1; pid <= 100; pid += 1) own.note(pid);
  t.equal(own.has(100), true);
  t.equal(own.has(100), true, "by whoever watches beside us");
  t.equal(own.has(101), false);
  t.equal(own.has(1), false, "those of long ago are forgotten");
  t.equal(own.has(undefined), false);
});
