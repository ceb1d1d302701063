// Listings of nft: a planned table reads as planned with every version, and any other table does
// not.
import * as fc from "fast-check";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { canonicalTable, isCommitted, readListing } from "../../../../hal/linux/firewall/canonical.ts";

const METAINFO = { metainfo: { version: "1.0.6", release_name: "Lester Gooch #5", json_schema_version: 1 } };
const TABLE = { table: { family: "inet", name: "sallyport", handle: 2 } };
const SET = {
  set: {
    family: "inet",
    name: "management4",
    table: "sallyport",
    type: "ipv4_addr",
    handle: 4,
    flags: ["interval"],
    elem: ["198.51.100.7", { prefix: { addr: "10.0.0.0", len: 25 } }],
  },
};
const CHAIN = {
  chain: { family: "inet", table: "sallyport", name: "input", handle: 1, type: "filter", hook: "input", prio: 0, policy: "drop" },
};
const match = (left: unknown, right: unknown, op = "=="): unknown => ({ match: { op, left, right } });
const rule = (...expr: readonly unknown[]): { readonly rule: Readonly<Record<string, unknown>> } => ({
  rule: { family: "inet", table: "sallyport", chain: "input", handle: 9, expr },
});
const IIF = match({ meta: { key: "iifname" } }, "eth0");
const DPORT = match({ payload: { protocol: "tcp", field: "dport" } }, { set: [8443, { range: [80, 81] }, 22] });
const SADDR = match({ payload: { protocol: "ip", field: "saddr" } }, "@management4");
const ACCEPT = { accept: null };
const RULES = [
  rule(IIF, SADDR, DPORT, ACCEPT),
  rule(match({ ct: { key: "state" } }, "established", "in"), ACCEPT),
  rule({ reject: { type: "tcp reset" } }),
];

const listing = (objects: readonly unknown[]): string => JSON.stringify({ nftables: objects });
const tableOf = (text: string): string => canonicalTable(readListing(text));
const PLANNED = `table inet sallyport {
	set management4 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/25, 198.51.100.7 }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iifname "eth0" ip saddr @management4 tcp dport { 22, 80-81, 8443 } accept
		ct state established accept
		reject with tcp reset
	}
}
`;

test("[LCK-5] nft 1.0.6 lists sets first, 1.1.3 chains first: both have one canonical form", async (t) => {
  t.equal(tableOf(listing([METAINFO, TABLE, SET, CHAIN, ...RULES])), PLANNED);
  t.equal(tableOf(listing([METAINFO, TABLE, CHAIN, SET, ...RULES])), PLANNED);
});

test("[LCK-5] a list of one entry and the entry alone are one form: nft 1.1.4 lists a single flag as text", (t) => {
  const one = { ...SET.set, elem: ["198.18.7.3"] };
  const wanted = tableOf(listing([METAINFO, { set: one }]));
  t.match(wanted, /^\t\tflags interval\n\t\telements = \{ 198\.18\.7\.3 \}$/mu);
  for (const set of [
    { ...one, flags: "interval" },
    { ...one, elem: "198.18.7.3" },
    { ...one, flags: "interval", elem: "198.18.7.3" },
  ])
    t.equal(tableOf(listing([METAINFO, { set }])), wanted);
  t.not(tableOf(listing([METAINFO, { set: { ...one, flags: "timeout" } }])), wanted);
  t.end();
});

test("[LCK-25] only a listing in which every object has a handle is of a transaction that is committed", (t) => {
  const committed = [METAINFO, TABLE, SET, CHAIN, ...RULES];
  t.equal(isCommitted(readListing(listing(committed))), true);
  for (const [what, pending] of Object.entries({
    "a table without a handle": { table: { family: "inet", name: "sallyport" } },
    "a chain of handle 0, as nft lists its cache before the commit": { chain: { ...CHAIN.chain, handle: 0 } },
    "a rule of handle 0": { rule: { ...rule(ACCEPT).rule, handle: 0 } },
    "a handle that is text": { set: { ...SET.set, handle: "4" } },
    "no object": { set: null },
  }))
    t.equal(isCommitted(readListing(listing([...committed, pending]))), false, what);
  t.equal(isCommitted(readListing(listing([METAINFO]))), false, "nothing at all");
  t.end();
});

const STRANGE: Readonly<Record<string, readonly unknown[]>> = {
  "a rule more": [TABLE, SET, CHAIN, ...RULES, rule(ACCEPT)],
  "a rule less": [TABLE, SET, CHAIN, ...RULES.slice(1)],
  "rules in another order": [TABLE, SET, CHAIN, ...RULES.toReversed()],
  "a policy of accept": [TABLE, SET, { chain: { ...CHAIN.chain, policy: "accept" } }, ...RULES],
  "another priority": [TABLE, SET, { chain: { ...CHAIN.chain, prio: -300 } }, ...RULES],
  "an address more": [TABLE, { set: { ...SET.set, elem: [...SET.set.elem, "203.0.113.1"] } }, CHAIN, ...RULES],
  "a set that fills itself": [TABLE, { set: { ...SET.set, flags: ["interval", "timeout"] } }, CHAIN, ...RULES],
  "a set more": [TABLE, SET, { set: { ...SET.set, name: "other" } }, CHAIN, ...RULES],
  "a map": [TABLE, SET, { map: { name: "m" } }, CHAIN, ...RULES],
  "another verdict": [TABLE, SET, CHAIN, rule(IIF, SADDR, DPORT, { queue: null }), ...RULES.slice(1)],
  "a limit": [TABLE, SET, CHAIN, rule(IIF, SADDR, DPORT, { limit: { rate: 1, per: "hour" } }, ACCEPT), ...RULES.slice(1)],
  "a condition less": [TABLE, SET, CHAIN, rule(IIF, DPORT, ACCEPT), ...RULES.slice(1)],
  "the opposite": [
    TABLE,
    SET,
    CHAIN,
    rule(match({ meta: { key: "iifname" } }, "eth0", "!="), SADDR, DPORT, ACCEPT),
    ...RULES.slice(1),
  ],
  "another operator": [
    TABLE,
    SET,
    CHAIN,
    rule(match({ meta: { key: "iifname" } }, "eth0", "<"), SADDR, DPORT, ACCEPT),
    ...RULES.slice(1),
  ],
  "a name with a quote": [
    TABLE,
    SET,
    CHAIN,
    rule(match({ meta: { key: "iifname" } }, 'eth0" ip saddr @management4 tcp dport { 22, 80-81, 8443 } accept #'), ACCEPT),
    ...RULES.slice(1),
  ],
  "a member that hides a condition": [
    TABLE,
    SET,
    CHAIN,
    rule({ accept: null, match: {} }, IIF, SADDR, DPORT, ACCEPT),
    ...RULES.slice(1),
  ],
};

for (const [what, objects] of Object.entries(STRANGE))
  test(`[LCK-5] ${what} does not read as planned`, async (t) => {
    t.not(tableOf(listing([METAINFO, ...objects])), PLANNED);
  });

test("[LCK-5] any text that is not a listing is refused by its own code", async (t) => {
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    '{"nftables":{}}',
    listing([{ chain: {} }]),
    listing([CHAIN, { rule: { chain: "input" } }]),
  ])
    t.throws(() => tableOf(text), { code: "firewall.unreadable" }, text);
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.constantFrom("set", "chain", "rule", "map"), fc.jsonValue())), (objects) => {
      try {
        return tableOf(listing(objects)) !== PLANNED;
      } catch (error) {
        return error instanceof Fault && error.code === "firewall.unreadable";
      }
    }),
    { numRuns: 300 },
  );
});
