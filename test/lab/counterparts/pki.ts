// A throw-away PKI made by the real `openssl` program: an authority, an attacker's authority, and
// certificates that are good or wrong in one way each. Everything lies in the given directory.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";

/** An authority where none is asked: it has issued nothing, and its key is gone. */
export const NEVER_ASKED = `-----BEGIN CERTIFICATE-----
MIIBlDCCATmgAwIBAgIUbZqacwGjERk5wf+PkFbEo4WrP+8wCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLTmV2ZXIgQXNrZWQwIBcNMjYxMjAxMDgzMTUxWhgPMjEyNjEx
MDcwODMxNTFaMBYxFDASBgNVBAMMC05ldmVyIEFza2VkMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEJ+YUPrW9RQ062jKPkGLgYQkjRWULq6YTPUO0BChh8oGd5Uoh
OOKagAciTIjkowJ2Fuz0cSFmFgt6QPC7drpVMqNjMGEwHQYDVR0OBBYEFM9bnXSA
+flRvsc4uypNCMks2dU9MB8GA1UdIwQYMBaAFM9bnXSA+flRvsc4uypNCMks2dU9
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoGCCqGSM49BAMCA0kA
MEYCIQD3Fj5At1+7Q/yBJbaAKacHPCZ/tXBhBtq+dh7yIHaeKAIhAMIVwWgnj8qa
61R/aEOAdHzLgznTfmfjdYwmU6NP3BUo
-----END CERTIFICATE-----
`;

/** Paths, and the PEM texts in the files. */
export interface Credential {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface LeafOptions {
  /**
   * The subject's CN. It is also the first name in the SAN of a server certificate unless `names`
   * is given.
   */
  readonly commonName: string;
  /** SAN entries as openssl writes them: `DNS:localhost`, `IP:127.0.0.1`, `URI:...`. */
  readonly names?: readonly string[];
  /**
   * Extended key usages as openssl names them, `serverAuth` when left out. An empty list leaves the
   * extension out.
   */
  readonly usages?: readonly string[];
  /** keyUsage as openssl names it, `digitalSignature` when left out. */
  readonly keyUsage?: string;
  /** Makes an authority below the issuer. */
  readonly authority?: boolean;
  /**
   * False leaves out the authorityKeyIdentifier: then only the signature tells the issuer from
   * another of the same name.
   */
  readonly issuerKeyId?: boolean;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Runs the `openssl` program.
 * @returns its standard output.
 * @throws Fault `process.failed` with its message.
 */
export function openssl(args: readonly string[], input?: Uint8Array | string): Buffer {
  const run = spawnSync("openssl", args, { input, maxBuffer: 1 << 22 });
  if (run.status !== 0) throw new Fault("process.failed", `openssl ${args.join(" ")}: ${run.stderr.toString()}`);
  return run.stdout;
}

/**
 * @returns both outputs of `openssl`, however it ended: `req -verify` of OpenSSL 3.0 reports a
 * wrong signature and exits with 0.
 */
export function opensslWords(args: readonly string[], input?: Uint8Array | string): string {
  const run = spawnSync("openssl", args, { input, maxBuffer: 1 << 22 });
  return `${run.stdout.toString()}\n${run.stderr.toString()}`;
}

/**
 * A self-signed P-256 authority, as `NAME.crt` and `NAME.key` in `directory`. Two with the same
 * common name differ only in their keys, as an attacker's does.
 */
export function makeAuthority(directory: string, name: string, commonName = "Test Hub Authority"): Credential {
  const { certFile, keyFile } = files(directory, name);
  newKey(keyFile);
  openssl(
    [
      ["req", "-x509", "-new", "-key", keyFile, "-out", certFile, "-days", "3650", "-subj", `/CN=${commonName}`],
      ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    ].flat(),
  );
  return credential(certFile, keyFile);
}

/** A certificate of `issuer` with a new P-256 key, as `NAME.crt` and `NAME.key` in `directory`. */
export function issue(directory: string, name: string, issuer: Credential, options: LeafOptions): Credential {
  const { certFile, keyFile } = files(directory, name);
  newKey(keyFile);
  const requestFile = join(directory, `${name}.csr`);
  openssl(["req", "-new", "-key", keyFile, "-out", requestFile, "-subj", `/CN=${options.commonName}`]);
  certify(directory, name, issuer, requestFile, options);
  return credential(certFile, keyFile);
}

/** An authority below `issuer`. */
export function issueAuthority(directory: string, name: string, issuer: Credential): Credential {
  return issue(directory, name, issuer, { commonName: name, authority: true, usages: [], names: [] });
}

/**
 * The same authority, by name and key, in another certificate: of `issuer`, or of itself when it is
 * only issued again.
 */
export function issueAgain(
  directory: string,
  name: string,
  authority: Credential,
  issuer: Credential,
  dates: Pick<LeafOptions, "notBefore" | "notAfter"> = {},
): Credential {
  const requestFile = join(directory, `${name}.csr`);
  openssl(["x509", "-x509toreq", "-in", authority.certFile, "-signkey", authority.keyFile, "-out", requestFile]);
  certify(directory, name, issuer, requestFile, { commonName: name, authority: true, usages: [], names: [], ...dates });
  return credential(files(directory, name).certFile, authority.keyFile);
}

/**
 * A certificate of `issuer` for the key of a PKCS#10 request (DER), as an EST authority makes it.
 * @returns PEM.
 */
export function issueFor(directory: string, name: string, issuer: Credential, request: Uint8Array, options: LeafOptions): string {
  const requestFile = join(directory, `${name}.csr`);
  writeFileSync(requestFile, openssl(["req", "-inform", "DER", "-outform", "PEM"], request));
  certify(directory, name, issuer, requestFile, options);
  return readFileSync(files(directory, name).certFile, "utf8");
}

/** A self-signed certificate that no authority vouches for. */
export function selfSigned(directory: string, name: string, options: LeafOptions): Credential {
  const { certFile, keyFile } = files(directory, name);
  newKey(keyFile);
  openssl(
    [
      ["req", "-x509", "-new", "-key", keyFile, "-out", certFile, "-days", "30", "-subj", `/CN=${options.commonName}`],
      ["-addext", `subjectAltName=${namesOf(options)}`, "-addext", "extendedKeyUsage=serverAuth"],
    ].flat(),
  );
  return credential(certFile, keyFile);
}

/** What most tests of TLS need, for `localhost` and 127.0.0.1. */
export interface Pki {
  readonly authority: Credential;
  /** The same names with other keys. */
  readonly attacker: Credential;
  readonly server: Credential;
  /** For `elsewhere.example`. */
  readonly wrongName: Credential;
  readonly expired: Credential;
  readonly notYetValid: Credential;
  /** The attacker's authority, everything else as in `server`. */
  readonly attackerServer: Credential;
  /**
   * The attacker's, and not valid before next year: its error code alone looks like that of
   * `notYetValid`.
   */
  readonly attackerNotYetValid: Credential;
  readonly selfSigned: Credential;
  /** Of the authority, but for clients only. */
  readonly clientAuthOnly: Credential;
  /** A client certificate of the authority, CN `gw-1`. */
  readonly client: Credential;
  readonly attackerClient: Credential;
}

/** Takes some 35 runs of openssl, well below a second. */
export function makePki(directory: string): Pki {
  const authority = makeAuthority(directory, "authority");
  const attacker = makeAuthority(directory, "attacker");
  const now = Date.now();
  const here: LeafOptions = { commonName: "localhost", names: ["DNS:localhost", "IP:127.0.0.1"] };
  const future = { notBefore: new Date(now + 365 * DAY_MS), notAfter: new Date(now + 730 * DAY_MS) };
  const past = { notBefore: new Date(now - 730 * DAY_MS), notAfter: new Date(now - 365 * DAY_MS) };
  const device: LeafOptions = { commonName: "gw-1", names: [], usages: ["clientAuth"] };
  return {
    authority,
    attacker,
    server: issue(directory, "server", authority, here),
    wrongName: issue(directory, "wrong-name", authority, { commonName: "elsewhere.example", names: ["DNS:elsewhere.example"] }),
    expired: issue(directory, "expired", authority, { ...here, ...past }),
    notYetValid: issue(directory, "not-yet-valid", authority, { ...here, ...future }),
    attackerServer: issue(directory, "attacker-server", attacker, here),
    attackerNotYetValid: issue(directory, "attacker-not-yet-valid", attacker, { ...here, ...future }),
    selfSigned: selfSigned(directory, "self-signed", here),
    clientAuthOnly: issue(directory, "client-auth-only", authority, { ...here, usages: ["clientAuth"] }),
    client: issue(directory, "client", authority, device),
    attackerClient: issue(directory, "attacker-client", attacker, device),
  };
}

function certify(directory: string, name: string, issuer: Credential, requestFile: string, options: LeafOptions): void {
  const extensionsFile = join(directory, `${name}.ext`);
  const usages = options.usages ?? ["serverAuth"];
  const names = namesOf(options);
  const authority = options.authority === true;
  const lines = [
    `basicConstraints=critical,CA:${authority ? "TRUE" : "FALSE"}`,
    `keyUsage=critical,${options.keyUsage ?? (authority ? "keyCertSign" : "digitalSignature")}`,
    ...(usages.length > 0 ? [`extendedKeyUsage=${usages.join(",")}`] : []),
    ...(names === "" ? [] : [`subjectAltName=${names}`]),
    "subjectKeyIdentifier=hash",
    `authorityKeyIdentifier=${options.issuerKeyId === false ? "none" : "keyid"}`,
  ];
  writeFileSync(extensionsFile, `${lines.join("\n")}\n`);
  const notBefore = options.notBefore ?? new Date(Date.now() - HOUR_MS);
  const notAfter = options.notAfter ?? new Date(notBefore.getTime() + 90 * DAY_MS);
  certifyBetween(directory, name, issuer, requestFile, extensionsFile, notBefore, notAfter);
}

/** `openssl x509 -req` takes dates only since 3.4, so the older `openssl ca` signs. */
function certifyBetween(
  directory: string,
  name: string,
  issuer: Credential,
  requestFile: string,
  extensionsFile: string,
  notBefore: Date,
  notAfter: Date,
): void {
  const configFile = join(directory, `${name}.cnf`);
  const databaseFile = join(directory, `${name}.index`);
  writeFileSync(databaseFile, "");
  writeFileSync(
    configFile,
    [
      "[ca]",
      "default_ca=lab",
      "[lab]",
      `database=${databaseFile}`,
      `new_certs_dir=${directory}`,
      "rand_serial=yes",
      "unique_subject=no",
      "default_md=sha256",
      "policy=any",
      "[any]",
      "commonName=supplied",
      "serialNumber=optional",
      "",
    ].join("\n"),
  );
  openssl(
    [
      ["ca", "-batch", "-notext", "-preserveDN", "-config", configFile, "-cert", issuer.certFile, "-keyfile", issuer.keyFile],
      ["-in", requestFile, "-out", files(directory, name).certFile, "-extfile", extensionsFile],
      ["-startdate", asn1Time(notBefore), "-enddate", asn1Time(notAfter)],
    ].flat(),
  );
}

function namesOf(options: LeafOptions): string {
  return (options.names ?? [`DNS:${options.commonName}`]).join(",");
}

function asn1Time(date: Date): string {
  return `${date.toISOString().replaceAll(/[-:T]|\.\d{3}Z$/g, "")}Z`;
}

function newKey(keyFile: string): void {
  openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", keyFile]);
}

function files(directory: string, name: string): { readonly certFile: string; readonly keyFile: string } {
  return { certFile: join(directory, `${name}.crt`), keyFile: join(directory, `${name}.key`) };
}

function credential(certFile: string, keyFile: string): Credential {
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
}
