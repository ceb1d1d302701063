// Placeholders for a serial number in firmware, and MACs that do not belong to one interface. Pure.
// [ID-2]

/**
 * In the form that {@link bare} gives. Collected from DMI tables seen in the field; add a line for
 * a board maker's new spelling.
 */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  "assetnumber",
  "assettag",
  "bad",
  "blank",
  "board",
  "default",
  "defaultstring",
  "empty",
  "eval",
  "fill",
  "invalid",
  "missing",
  "na",
  "nil",
  "no",
  "noassetinformation",
  "noassettag",
  "none",
  "noserial",
  "notapplicable",
  "notassigned",
  "notavailable",
  "notdefined",
  "notpresent",
  "notprogrammed",
  "notset",
  "notsettable",
  "notspecified",
  "null",
  "oem",
  "oemdefault",
  "oemstring",
  "reserved",
  "sample",
  "serial",
  "sernum",
  "sernum0",
  "sn",
  "standard",
  "system",
  "test",
  "tobedefined",
  "unavailable",
  "undefined",
  "unknown",
  "unprogrammed",
  "unset",
  "unspecified",
  "void",
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
const COUNTING = ["0123456789abcdef", "01234567890123456789", "123456789abcdef", "12345678901234567890"] as const;
const COUNTING_LENGTH_MIN = 5;

/** Reported by many boards at once: examples from data sheets that went into production. */
const BORROWED_MACS: ReadonlySet<string> = new Set([
  "00:11:22:33:44:55",
  "00:01:02:03:04:05",
  "00:12:34:56:78:90",
  "00:12:34:56:78:9a",
]);

/** [ID-2] True for a serial that does not identify this one board. */
export function isPlaceholderSerial(serial: string): boolean {
  const text = bare(serial);
  if (/^(.?)\1*$/u.test(text)) return true; // nothing left, or all the same digit or letter
  if (PLACEHOLDERS.has(text)) return true;
  if (PLACEHOLDER_PARTS.some((part) => text.includes(part))) return true;
  return text.length >= COUNTING_LENGTH_MIN && COUNTING.some((row) => row.startsWith(text));
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
  if (octets.slice(3).every((octet) => octet === "00") && octets.slice(0, 3).every((octet) => octet === "00")) return false;
  return !BORROWED_MACS.has(octets.join(":"));
}

/**
 * Letters and digits only, lower case: how a placeholder is dotted and spaced differs from maker to
 * maker.
 */
function bare(serial: string): string {
  return serial.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}
