// Listings of nft: a planned table reads as planned with every version, and any other table does
// not.
import * as fc from "fast-check";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { canonicalTable } from "../../../../hal/linux/firewall/canonical.ts";

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
const rule = (...expr: readonly unknown[]): Readonly<Record<string, unknown>> => ({
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
  t.equal(canonicalTable(listing([METAINFO, TABLE, SET, CHAIN, ...RULES])), PLANNED);
  t.equal(canonicalTable(listing([METAINFO, TABLE, CHAIN, SET, ...RULES])), PLANNED);
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
    t.not(canonicalTable(listing([METAINFO, ...objects])), PLANNED);
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
    t.throws(() => canonicalTable(text), { code: "firewall.unreadable" }, text);
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.constantFrom("set", "chain", "rule", "map"), fc.jsonValue())), (objects) => {
      try {
        return canonicalTable(listing(objects)) !== PLANNED;
      } catch (error) {
        return error instanceof Fault && error.code === "firewall.unreadable";
      }
    }),
    { numRuns: 300 },
  );
});
