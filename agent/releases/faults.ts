// The kinds of faults that decide how the work on a release goes on.
import type { Fault } from "../../hal/fault.ts";

/**
 * True for what another attempt may not meet: the network, the disk, a mirror that is behind, or a
 * warden that restarts or is busy.
 */
export function isTransient({ code }: Fault): boolean {
  return (
    code.startsWith("fetch.") ||
    code.startsWith("tls.") ||
    code.startsWith("tunnel.") ||
    code.startsWith("file.") ||
    code === "chunk.missing" ||
    code === "protocol.closed" ||
    code === "protocol.rate-limited" ||
    code === "lockdown.busy"
  );
}

const RELEASE_FAULTS = ["chunk.missing", "chunk.tampered", "image.invalid", "fetch.too-large", "fetch.refused", "update.aborted"];

/**
 * True for what is wrong with the release itself: a part of it is damaged in the repository or not
 * there, and stayed so through all attempts.
 */
export function isReleaseFault({ code }: Fault): boolean {
  return RELEASE_FAULTS.includes(code) || code.startsWith("index.");
}
