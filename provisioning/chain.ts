// From a certificate to a pinned authority, and what TLS shows of that way. [ID-82] [ID-83]
import type { X509Certificate } from "node:crypto";
import { isIssuedBy, isSameAuthority, isSelfSigned } from "../hal/format/pins.ts";

type Certificates = readonly X509Certificate[];

/** Authorities between a certificate and the pinned one, and above the pinned one. */
const INTERMEDIATES_MAX = 3;

/** At least the certificate where it begins. */
interface Way {
  readonly last: X509Certificate;
  readonly before: Certificates;
}

/**
 * [ID-82] Looks in all directions at once, because a name leads to more than one issuer:
 * authorities share a name, a root is cross-signed, an issuing CA is issued again. Each step is
 * proven by a signature, and no certificate is looked at twice.
 * @param known certificates that anybody may have sent, in any order. None of them is trusted.
 * @returns the shortest way, and of equal ones the one whose authorities end last: `leaf`, the
 *   intermediates, the pin. Undefined when there is none.
 */
export function wayToPin(pins: Certificates, leaf: X509Certificate, known: Certificates): Certificates | undefined {
  const anchors = lastEndFirst(pins);
  const others = new Set(lastEndFirst(known).filter((one) => one.ca));
  let ways: readonly Way[] = [{ last: leaf, before: [] }];
  for (let depth = 0; depth <= INTERMEDIATES_MAX; depth += 1) {
    for (const { last, before } of ways) {
      const pin = anchors.find((one) => isIssuedBy(last, one));
      if (pin !== undefined) return [...before, last, pin];
    }
    const further: Way[] = [];
    for (const { last, before } of ways) {
      for (const issuer of [...others].filter((one) => isIssuedBy(last, one))) {
        others.delete(issuer);
        further.push({ last: issuer, before: [...before, last] });
      }
    }
    ways = further;
  }
  return undefined;
}

/**
 * [ID-83] The other side may trust another authority than our pin: only the root above a pinned
 * issuing CA, or only the old root while we have both. So TLS shows what is known of the way up to
 * a self-signed certificate, which the other side must have anyway, and across to the authority
 * that has cross-signed it.
 * @param way of {@link wayToPin}.
 * @returns what TLS sends, in its order (RFC 8446 section 4.4.2): the certificate first.
 */
export function chainToShow(way: Certificates, pins: Certificates, known: Certificates): Certificates {
  const all = lastEndFirst([...pins, ...known]);
  const shown = way.slice(0, -1);
  let top = way.at(-1);
  for (let above = 0; above < INTERMEDIATES_MAX && top !== undefined; above += 1) {
    const authority: X509Certificate = top;
    const next = all.find((one) => one.ca && isSameAuthority(one, authority) && !isSelfSigned(one));
    if (next === undefined) break;
    shown.push(next);
    top = all.find((one) => isIssuedBy(next, one) && !shown.some((each) => isSameAuthority(each, one)));
  }
  return shown;
}

/** Without those that are there twice. */
function lastEndFirst(certificates: Certificates): Certificates {
  const unique = new Map(certificates.map((one) => [one.fingerprint256, one]));
  return [...unique.values()].toSorted((one, other) => other.validToDate.getTime() - one.validToDate.getTime());
}
