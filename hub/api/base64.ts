// EST bodies: base64 of DER (RFC 8951 section 3.1), with or without line breaks.
import { Fault } from "../../hal/fault.ts";

const LINE_CHARACTERS = 76;

/** @throws Fault `csr.invalid` for anything else, with a hint at the likely mistake. */
export function decodeBody(body: unknown): Uint8Array {
  if (!(body instanceof Uint8Array)) throw new Fault("csr.invalid", "the body is empty: expected base64 of a PKCS#10 request");
  const text = Buffer.from(body)
    .toString("utf8")
    .replace(/^\ufeff/u, "") // [ID-32]
    .replaceAll(/\s+/g, "");
  if (text.startsWith("-----"))
    throw new Fault(
      "csr.invalid",
      "the body is PEM: EST expects only the base64 of the DER; use openssl req -outform DER | base64",
    );
  if (text === "" || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text))
    throw new Fault(
      "csr.invalid",
      "the body is not base64: expected base64 of a DER PKCS#10 request; use openssl req -outform DER | base64",
    );
  return Buffer.from(text, "base64");
}

/** Wrapped, because `openssl base64 -d` does not read longer lines. */
export function encodeBody(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "g")) ?? [];
  return `${lines.join("\n")}\n`;
}
