// `sallyport-release answer`: signs an order away from the hub, after showing what it is about, as
// the signer's own copy of the root vouches for it. [OPS-26] [OPS-27] [LCK-20]
import { join } from "node:path";
import { createPublicKey } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { ROOT_BYTES_MAX } from "../../ota/trust/index.ts";
import { orderKey, orderKeyId } from "../../warden/orders/format/index.ts";
import {
  type OrderEvidence,
  ORDER_HOLD_MS,
  ORDER_REQUEST_BYTES_MAX,
  type OrderRequest,
  type OrderSubject,
  parseOrderRequest,
  resolveSubject,
  signRequest,
} from "../../warden/order-subject/format.ts";
import { getFile } from "./files.ts";
import { expectPrivate, parseKey } from "./keys.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

export interface ResolvedRequest {
  readonly request: OrderRequest;
  readonly subject: OrderSubject;
}

export interface AnswerOptions {
  /** The file of the request, as `sallyport-hub order --print` made it. */
  readonly file: string;
  /** The signer's own copy of a root, and a directory with the files of the repository. */
  readonly root: string | undefined;
  readonly repository: string | undefined;
  readonly nowMs: number;
}

/**
 * Reads a request and finds out what it is about.
 * @throws Fault `order.invalid`, `order.unresolved`, `usage.invalid`, `trust.*`.
 */
export async function resolveRequest({ file, root, repository, nowMs }: AnswerOptions): Promise<ResolvedRequest> {
  const bytes = await getFile(file, ORDER_REQUEST_BYTES_MAX);
  if (bytes === undefined) throw new Fault("usage.invalid", `answer "${file}": there is no such file`);
  const request = parseOrderRequest(bytes);
  return { request, subject: await resolveSubject(request, { repository: await evidenceIn(root, repository), nowMs }) };
}

/**
 * Signs a request that its signer has seen.
 * @returns the order, as `sallyport-hub order --answer` sends it.
 * @throws Fault `release.key-unusable`, `release.store-failed`.
 */
export async function signAnswer(
  request: OrderRequest,
  keyFile: string,
  reason: string | undefined,
  nowMs: number,
): Promise<string> {
  const pem = await getFile(keyFile, KEY_BYTES_MAX);
  if (pem === undefined) throw new Fault("release.key-unusable", `sign an order: there is no key "${keyFile}"`);
  await expectPrivate(keyFile, "sign an order");
  const privateKey = parseKey(pem, keyFile);
  const publicKey = createPublicKey(privateKey);
  if (orderKey(publicKey.export({ format: "der", type: "spki" }).toString("base64")) === undefined)
    throw new Fault("release.key-unusable", `sign an order with "${keyFile}": expected an Ed25519 or ECDSA P-256 key`);
  return signRequest(request, { privateKey, keyid: orderKeyId(publicKey) }, reason, nowMs + ORDER_HOLD_MS);
}

async function evidenceIn(root: string | undefined, repository: string | undefined): Promise<OrderEvidence["repository"]> {
  if (root === undefined || repository === undefined) return undefined;
  const bytes = await getFile(root, ROOT_BYTES_MAX);
  if (bytes === undefined) throw new Fault("usage.invalid", `--root "${root}": there is no such file`);
  return {
    root: bytes,
    fetch: (name, bytesMax) => getFile(join(repository, "metadata", name), bytesMax),
    payload: (name, bytesMax) => getFile(join(repository, "targets", name), bytesMax),
  };
}
