// What commands share that sign orders: they find out what an order is about, show it, and ask.
// [OPS-26] [LCK-20]
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { type OrderRequest, resolveSubject } from "../../warden/order-subject/format.ts";
import { ROOT_BYTES_MAX } from "../../ota/trust/index.ts";
import { readRepositoryFile } from "../repository/index.ts";
import type { Given, HubTerminal } from "./command.ts";

/** Names the signer's own copy of the repository's root where --root does not. */
const ROOT_VARIABLE = "SALLYPORT_TRUST_ROOT";

export const EVIDENCE_OPTIONS = {
  root: { type: "string" },
  repository: { type: "string" },
  yes: { type: "boolean" },
} as const;
export const EVIDENCE_USAGE = "[--root FILE] [--repository DIR] [--yes]";
export const EVIDENCE_HELP = `What it signs is resolved and shown first. A release is looked up in the files of --repository, verified from your own copy of its root (--root, or $${ROOT_VARIABLE}). The plan of a policy is hashed again. What cannot be resolved is not signed. --yes says that you have read it, for scripts.`;

/**
 * Shows what `request` is about.
 * @param directory the repository whose files are used without --repository.
 * @throws Fault `order.unresolved` when that cannot be known; `usage.invalid` without a person's
 *   consent.
 */
export async function showAndAsk(
  given: Given,
  terminal: HubTerminal,
  request: OrderRequest,
  directory: string | undefined,
): Promise<void> {
  const { lines, needsConsent } = await resolveSubject(request, {
    repository: await repositoryEvidence(given, directory),
    nowMs: Date.now(),
  });
  for (const line of lines) terminal.err(line);
  await terminal.shown();
  if (!needsConsent || given.flag("yes")) return;
  if (terminal.ask === undefined)
    throw new Fault("usage.invalid", `sign "${request.verb}": nobody can be asked here; read the above, then add --yes`);
  if ((await terminal.ask(`Sign ${request.verb} for "${request.deviceId}"? Type yes: `)).trim() !== "yes")
    throw new Fault("usage.invalid", `sign "${request.verb}": it was not confirmed, so nothing was signed`);
}

async function repositoryEvidence(given: Given, directory: string | undefined) {
  const from = given.optionalText("repository") ?? directory;
  const rootFile = given.optionalText("root") ?? process.env[ROOT_VARIABLE];
  if (rootFile === undefined || rootFile === "" || from === undefined) return undefined;
  const root = await readRepositoryFile(rootFile, ROOT_BYTES_MAX);
  if (root === undefined) throw new Fault("usage.invalid", `--root "${rootFile}": there is no such file`);
  return {
    root,
    fetch: (name: string, bytesMax: number) => readRepositoryFile(join(from, "metadata", name), bytesMax),
    payload: (name: string, bytesMax: number) => readRepositoryFile(join(from, "targets", name), bytesMax),
  };
}
