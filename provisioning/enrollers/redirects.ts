// Redirects within the authority's own origin. [ID-32]
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { quoted } from "../../hal/format/text.ts";
import type { HubServer } from "../tls/index.ts";
import type { HttpsResponse } from "./exchange.ts";
import { QUOTED_BYTES_MAX, REDIRECTS_MAX } from "./limits.ts";

/** 303 asks for a GET, which would drop the request. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/**
 * RFC 7030 section 3.2.1 lets a client follow a redirect to the same origin. Each goes over a new
 * TLS session with the same checks, by the same method and with the same body.
 * @param send one request for `path`.
 * @throws Fault `enrol.bad-response` for another origin, and for more than {@link REDIRECTS_MAX}.
 */
export async function followRedirects(
  hub: HubServer,
  path: string,
  send: (path: string) => Promise<HttpsResponse>,
): Promise<HttpsResponse> {
  const origin = new URL(`https://${hostAndPort(hub)}`);
  let next = path;
  for (let followed = 0; ; followed += 1) {
    const answer = await send(next);
    const { location } = answer.headers;
    if (!REDIRECTS.has(answer.status) || location === undefined) return answer;
    const shown = quoted(location, QUOTED_BYTES_MAX);
    if (followed === REDIRECTS_MAX)
      throw new Fault("enrol.bad-response", `${path}: more than ${REDIRECTS_MAX} redirects, the last to ${shown}`);
    const target = URL.parse(location, new URL(next, origin));
    if (target?.origin !== origin.origin)
      throw new Fault(
        "enrol.bad-response",
        `${path} is redirected to ${shown}, which is not at ${origin.origin}; put the authority's own address into the anchors`,
      );
    next = `${target.pathname}${target.search}`;
  }
}
