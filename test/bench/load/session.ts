// What the load programs are told on their command line.
import { readFileSync } from "node:fs";

export interface SessionArguments {
  readonly port: number;
  /** Client id, and CN of the certificate. */
  readonly id: string;
  readonly authority: string;
  readonly cert: string;
  readonly key: string;
  readonly rest: readonly string[];
}

/** PORT ID AUTHORITY-FILE CERT-FILE KEY-FILE and what the program itself wants. */
export function sessionArguments(): SessionArguments {
  const [port = "", id = "", authority = "", cert = "", key = "", ...rest] = process.argv.slice(2);
  const read = (file: string): string => readFileSync(file, "utf8");
  return { port: Number(port), id, authority: read(authority), cert: read(cert), key: read(key), rest };
}
