// The command line of the load programs.
import { readFileSync } from "node:fs";

export interface SessionArguments {
  readonly port: number;
  /** The client id, which is the CN of the certificate. */
  readonly id: string;
  readonly authority: string;
  readonly cert: string;
  readonly key: string;
  readonly rest: readonly string[];
}

/** Reads PORT ID AUTHORITY-FILE CERT-FILE KEY-FILE and the arguments of the program itself. */
export function sessionArguments(): SessionArguments {
  const [port = "", id = "", authority = "", cert = "", key = "", ...rest] = process.argv.slice(2);
  const read = (file: string): string => readFileSync(file, "utf8");
  return { port: Number(port), id, authority: read(authority), cert: read(cert), key: read(key), rest };
}
