// Placeholders for a serial number in firmware, and MACs that do not belong to one interface. Pure.
// [ID-2]

/**
 * Words of which makers compose what stands in the place of a serial. Collected from DMI tables
 * seen in the field; add a word for a board maker's new phrase.
 */
const WORDS: readonly string[] = (
  "applicable asset assigned avail available bad base be bios blank board by chassis data " +
  "default defined dummy empty enclosure engineering eval evaluation fill filled generic id " +
  "index info information initialised initialized installed invalid mb me missing mother na " +
  "name nil no none not null num numb number oem please present product programmed prototype " +
  "provided reserved sample ser serial set settable sku sn specified standard string " +
  "supported sys system tag tbd tbf test to unavailable undefined unknow unknown " +
  "unprogrammed unset unspecified used version void"
)
  .split(" ")
  .sort((a, b) => b.length - a.length); // "none" before "no"

/** In the form that {@link bare} gives, and not made of {@link WORDS}. */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  "87654321",
  "987654321",
  "9876543210",
  "03000200040005000006000700080009", // the UUID that a well-known BIOS ships for every board
]);

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
  "88:88:88:88:87:88",
]);

/** Ends of addresses that people type, and that the makers' counters begin and end with. */
const BORROWED_ENDS: ReadonlySet<string> = new Set([
  "00:00:00",
  "01:02:03",
  "03:04:05",
  "04:05:06",
  "11:22:33",
  "12:34:56",
  "33:44:55",
  "44:55:66",
  "56:78:90",
  "56:78:9a",
  "78:9a:bc",
  "aa:bb:cc",
  "ab:cd:ef",
  "ff:ff:ff",
]);

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
  let at = 0;
  for (let word: string | undefined = ""; word !== undefined; at += word?.length ?? 0)
    word = WORDS.find((each) => text.startsWith(each, at));
  return at > 0 && /^0*$/u.test(text.slice(at));
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
  if (new Set(octets).size === 1) return false; // zero, or one octet throughout
  return !BORROWED_MACS.has(octets.join(":")) && !BORROWED_ENDS.has(octets.slice(3).join(":"));
}

/**
 * Letters and digits only, lower case: how a placeholder is dotted and spaced differs from maker to
 * maker.
 */
function bare(serial: string): string {
  return serial.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}
