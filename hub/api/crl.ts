// The list of revoked certificates over HTTPS: for anybody, as it says nothing but serial numbers.
// RFC 2585 has its media type. [ID-90]
import type { FastifyInstance, FastifyReply } from "fastify";
import { crlPem } from "../authority/index.ts";
import type { CrlKeeper } from "../crl/index.ts";
import { CRL_CACHE_S, HTTP_BUSY_RETRY_S } from "../limits.ts";
import type { StoredCrl } from "../store/index.ts";
import { asFault } from "../../hal/fault.ts";
import { textError } from "./text-errors.ts";

/** What this path answers is written into certificates, so it never changes. [ID-93] */
const CRL_PATH = "/crl";

export function crlRoutes(server: FastifyInstance, keeper: CrlKeeper): void {
  const forms = [
    { path: CRL_PATH, type: "application/pkix-crl", body: ({ der }: StoredCrl) => Buffer.from(der) },
    { path: `${CRL_PATH}.pem`, type: "application/x-pem-file", body: ({ der }: StoredCrl) => Buffer.from(crlPem(der)) },
  ];
  for (const { path, type, body } of forms)
    server.get(path, async (request, reply) => {
      try {
        const crl = await keeper.current();
        if (request.headers["if-none-match"] === tagOf(crl)) return withDates(reply, crl).code(304).send();
        return withDates(reply, crl).type(type).send(body(crl));
      } catch (error) {
        // A list that has ended would shut everybody out, so none is given.
        const { code } = asFault(error, "hub.crl-failed", "read the list");
        return textError(
          reply.header("retry-after", String(HTTP_BUSY_RETRY_S)),
          503,
          `${code}: the hub has no list of revoked certificates that is in force; its operator finds the reason in the hub's output`,
        );
      }
    });
}

function tagOf({ number }: StoredCrl): string {
  return `"${number}"`;
}

function withDates(reply: FastifyReply, crl: StoredCrl): FastifyReply {
  return reply
    .header("etag", tagOf(crl))
    .header("last-modified", new Date(crl.issuedAtMs).toUTCString())
    .header("cache-control", `max-age=${CRL_CACHE_S}`);
}
