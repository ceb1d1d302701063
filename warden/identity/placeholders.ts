// Placeholders for a serial number in firmware, and MACs that do not belong to one interface. Pure.
// [ID-2]

/**
 * Words of which makers compose what stands in the place of a serial. Collected from DMI tables
 * seen in the field; add a word for a board maker's new phrase.
 */
const WORDS: readonly string[] = (
  "applicable asset assigned avail available bad base be bios blank board by change chassis " +
  "customer data default defined demo dummy empty enclosure engineering enter error eval " +
  "evaluation example fail failed fake fill filled found generic guid here id implemented in " +
  "index info information initialised initialized insert installed invalid machine main " +
  "mainboard manufacture manufacturer mb me mfg missing mother motherboard na name new nil no " +
  "non none not nothing null nulls num numb number odm oem of out part pilot placeholder " +
  "please present product programmed proto prototype provided qemu range read readable " +
  "reserved rsvd sample ser serial set settable sku sn spec specified standard string such " +
  "supported sys system tag tbd tbf temp temporary test to type unassigned unavailable " +
  "undefine undefined uninitialised uninitialized unknow unknown unprogrammed unreadable " +
  "unset unspecified unused use used uuid valid value vendor version virtual void wrong xxx " +
  "yet your"
).split(" ");

/** In the form that {@link bare} gives, and not made of {@link WORDS}. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(
  (
    "54321 654321 7654321 87654321 987654 9876543 98765432 987654321 9876543210 " +
    "00112233 0011223344 001122334455 11223344 1122334455 112233445566 01020304 deadbeef qwerty " +
    "00112233445566778899aabbccddeeff fedcba9876543210 " +
    "03000200040005000006000700080009"
  ) // the UUID that a well-known BIOS ships for every board
    .split(" "),
);

/**
 * Parts of phrases: "To Be Filled By O.E.M.", "System Serial Number", "Type2 - Board Serial
 * Number", "MB-1234567890".
 */
const PLACEHOLDER_PARTS = ["tobefilled", "filledby", "serialnumber", "serialno", "123456789"] as const;

/**
 * The beginning of a row of keys identifies nothing: "01234567", "123456789ABCDEF". Shorter ones
 * may be real small numbers.
 */
const COUNTING = [
  "0123456789abcdef",
  "01234567890123456789",
  "123456789abcdef",
  "12345678901234567890",
  "abcdefghijklmnopqrstuvwxyz",
] as const;
const COUNTING_LENGTH_MIN = 5;

/**
 * Reported by many boards at once: defaults of chip makers and examples from data sheets that went
 * into production.
 */
const BORROWED_MACS: ReadonlySet<string> = new Set([
  "00:01:02:03:04:05",
  "00:02:03:04:05:06",
  "00:03:7f:11:23:c6",
  "00:08:dc:01:02:03",
  "00:0a:35:00:01:22",
  "00:0a:35:01:02:03",
  "00:0c:43:28:80:a0",
  "00:11:7f:13:36:36",
  "00:04:25:1c:a0:02",
  "00:e0:4c:36:00:01",
  "00:e0:4c:68:00:01",
  "00:e0:4c:68:00:02",
  "08:00:27:00:01:92",
]);

/** Ends of addresses that people type, and that the makers' counters begin and end with. */
const BORROWED_ENDS: ReadonlySet<string> = new Set([
  "00:00:00",
  "00:00:01",
  "01:02:03",
  "03:04:05",
  "04:05:06",
  "10:20:30",
  "11:22:33",
  "12:34:56",
  "33:44:55",
  "3c:4d:5e",
  "44:55:66",
  "45:67:89",
  "56:78:90",
  "56:78:9a",
  "66:88:aa",
  "78:9a:bc",
  "aa:bb:cc",
  "ab:cd:ef",
  "cc:dd:ee",
  "dd:ee:ff",
  "ff:ff:ff",
]);

/** RFC 9542: documentation, virtual routers and other things that are no interface of one board. */
const IANA = "00:00:5e";

/** Zero, one octet throughout, or that with one changed: "88:88:88:88:87:88". */
const SAME_OCTETS_MIN = 5;

/** [ID-2] True for a serial that does not identify this one board. */
export function isPlaceholderSerial(serial: string): boolean {
  const text = bare(serial).replace(/^0x/u, "");
  if (/^(.?)\1*$/u.test(text)) return true; // nothing left, or all the same digit or letter
  if (PLACEHOLDERS.has(text) || isPhrase(text)) return true;
  if (PLACEHOLDER_PARTS.some((part) => text.includes(part))) return true;
  return text.length >= COUNTING_LENGTH_MIN && COUNTING.some((row) => row.startsWith(text));
}

/** Whether it is made of {@link WORDS} alone, perhaps with zeros behind: "S/N: 0000". */
function isPhrase(text: string): boolean {
  // a set grows while it is walked: "nullstring" is "null" and "string", and not "nulls" and a rest
  const ends = new Set([0]);
  for (const at of ends) for (const word of WORDS) if (text.startsWith(word, at)) ends.add(at + word.length);
  return [...ends].some((at) => at > 0 && /^0*$/u.test(text.slice(at)));
}

/**
 * [ID-2] True for a MAC (EUI-48, colon separated) that the maker gave to one interface: not zero,
 * broadcast, multicast or locally administered.
 */
export function isOwnMac(mac: string): boolean {
  const octets = mac.toLowerCase().split(":");
  if (octets.length !== 6 || octets.some((octet) => !/^[0-9a-f]{2}$/u.test(octet))) return false;
  const first = Number.parseInt(octets[0] ?? "", 16);
  // IEEE 802-2014 section 8.2: the two low bits of the first octet
  const multicast = (first & 0x01) !== 0;
  const locallyAdministered = (first & 0x02) !== 0;
  if (multicast || locallyAdministered) return false;
  if (octets.filter((octet) => octet === octets[2]).length >= SAME_OCTETS_MIN) return false;
  if (octets.slice(0, 3).join(":") === IANA) return false;
  return !BORROWED_MACS.has(octets.join(":")) && !BORROWED_ENDS.has(octets.slice(3).join(":"));
}

/**
 * Letters and digits only, lower case: how a placeholder is dotted and spaced differs from maker to
 * maker.
 */
function bare(serial: string): string {
  return serial.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}
