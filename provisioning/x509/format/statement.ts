// What our certificate request says beside X.509, as text that any tool can write and read. [ID-85]
import { Fault } from "../../../hal/fault.ts";
import * as der from "./der.ts";
import { STATEMENT_CHARACTERS_MAX } from "./limits.ts";
import { OID } from "./oids.ts";
import { isOid, octets, parts, text } from "./read.ts";

/** The words of a request, in all the forms in which it may say them, unchecked. */
export interface Stated {
  readonly auditKeys: readonly string[];
  readonly protections: readonly string[];
}

const MARK = "sallyport/1";
const AUDIT_KEY = "audit-key";
const PROTECTION = "protection";
const MEMBER = /^([a-z-]+)=(.+)$/u;
/** The types of PKCS9String that ASCII is found in. */
const TEXTS: ReadonlySet<number> = new Set([der.TAG.utf8String, der.TAG.printableString, der.TAG.ia5String]);

/**
 * @returns the attribute unstructuredName with `sallyport/1 protection=tpm audit-key=...`, or none
 *   when there is nothing to say.
 * @throws Fault `csr.invalid` for more than fits into the attribute.
 */
export function statementOf(auditKey: string | undefined, protection: string | undefined): readonly der.Value[] {
  const members = [
    ...(protection === undefined ? [] : [`${PROTECTION}=${protection}`]),
    ...(auditKey === undefined ? [] : [`${AUDIT_KEY}=${auditKey}`]),
  ];
  if (members.length === 0) return [];
  const words = [MARK, ...members].join(" ");
  if (words.length > STATEMENT_CHARACTERS_MAX)
    throw new Fault(
      "csr.invalid",
      `certificate request is invalid: its statement has ${words.length} characters, at most ${STATEMENT_CHARACTERS_MAX} fit`,
    );
  return [der.sequence(OID.unstructuredName, der.setOf(der.utf8String(words)))];
}

/**
 * Reads our statement, and the two attributes of earlier agents. Anybody's unstructuredName without
 * our mark is somebody else's text, and members that are not known are left to newer programs.
 * @param attribute `type` and `values`.
 * @throws Fault `csr.invalid`.
 */
export function readStatement(type: der.Value | undefined, values: der.Value | undefined, reading: der.Reading): Stated {
  if (isOid(type, OID.auditKeyBefore)) return { auditKeys: [onlyText(values, "audit key", reading)], protections: [] };
  if (isOid(type, OID.keyProtectionBefore)) return { auditKeys: [], protections: [onlyText(values, PROTECTION, reading)] };
  if (!isOid(type, OID.unstructuredName)) return { auditKeys: [], protections: [] };
  const members = parts(values, der.TAG.set, "unstructuredName", reading).flatMap((value) => membersIn(value, reading));
  const named = (name: string): readonly string[] => members.flatMap(([is, word]) => (is === name ? [word] : []));
  return { auditKeys: named(AUDIT_KEY), protections: named(PROTECTION) };
}

/** @returns true for a request in the form that GnuTLS does not read. */
export function isOfBefore(request: Uint8Array): boolean {
  const bytes = Buffer.from(request);
  return [OID.auditKeyBefore, OID.keyProtectionBefore].some(({ content }) => bytes.includes(content));
}

function membersIn(value: der.Value, reading: der.Reading): readonly (readonly [string, string])[] {
  if (!TEXTS.has(value.tag)) return [];
  const [mark, ...members] = Buffer.from(octets(value, value.tag, "unstructuredName", reading))
    .toString("utf8")
    .split(" ");
  if (mark !== MARK) return [];
  return members.map((member) => {
    const [, name, word] = MEMBER.exec(member) ?? [];
    if (name !== undefined && word !== undefined) return [name, word];
    throw new Fault(reading.code, `read ${reading.what}: its statement after "${MARK}" is not a list of name=value`);
  });
}

function onlyText(values: der.Value | undefined, where: string, reading: der.Reading): string {
  const [only, ...others] = parts(values, der.TAG.set, where, reading);
  if (others.length > 0) throw new Fault(reading.code, `read ${reading.what}: its attribute ${where} has more than one value`);
  return text(only, where, reading);
}
