// The notice of a device whose disk is on another board than that of its birth. It has shown its
// certificate, and asks whether it may use the id there. [ID-97]
import type { FastifyInstance } from "fastify";
import { Fault } from "../../hal/fault.ts";
import { type Board, boardText, type DeviceId } from "../../hal/format/identity.ts";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { BOARD_BYTES_MAX, BOARD_PATH, boardNoticeSchema } from "../../ota/format/board.ts";
import { type DeviceAdmission, isLetIn, REFUSALS } from "../devices/index.ts";
import type { JournalWriter } from "../journal.ts";
import { BOARD_NOTICES_BURST, BOARD_NOTICES_PER_S, BOARDS_QUIET_MAX, HINT_LIFE_MS, HURRIED_RETRY_S } from "../limits.ts";
import { queueHint } from "../outbox/index.ts";
import { Pace } from "../pace.ts";
import type { OtherBoard, Store } from "../store/index.ts";
import { shownBy } from "./requester.ts";
import { textError } from "./text-errors.ts";
import type { X509Certificate } from "node:crypto";

const DAY_MS = 86_400_000;

export interface BoardRouteOptions {
  readonly judge: (certificate: X509Certificate | undefined) => Promise<DeviceAdmission>;
  readonly context: { readonly store: Store; readonly journal: JournalWriter };
}

/** A disk that waits asks every few minutes: it is told once a day. */
function isNews(before: OtherBoard | undefined, now: Pick<OtherBoard, "born" | "found">, nowMs: number): boolean {
  if (before === undefined || nowMs - before.seenAtMs < 0) return true;
  const asText = ({ born, found }: Pick<OtherBoard, "born" | "found">): string => canonicalJson([born, found]);
  return asText(before) !== asText(now) || Math.floor(before.seenAtMs / DAY_MS) !== Math.floor(nowMs / DAY_MS);
}

/** The board that was enrolled is told too. A full queue takes nothing, and the alert is there. */
async function tellFirstBoard(store: Store, deviceId: DeviceId, found: Board): Promise<void> {
  const hint = { channel: "policy", body: { kind: "identity.elsewhere", found } } as const;
  await queueHint(store, deviceId, hint, HINT_LIFE_MS).catch((error: unknown) => {
    if (!(error instanceof Fault) || error.code !== "hub.outbox-full") throw error;
  });
}

export function boardRoute(server: FastifyInstance, { judge, context: { store, journal } }: BoardRouteOptions): void {
  /** Until when each board that tells is no news: two copies of a disk tell in turns. */
  const quiet = new Map<string, number>();
  const paces = new Pace({ burst: BOARD_NOTICES_BURST, perSecond: BOARD_NOTICES_PER_S });
  server.post(BOARD_PATH, async (request, reply) => {
    const admission = await judge(shownBy(request.raw.socket));
    if (!admission.admitted) return textError(reply, 401, `enrol.unauthorized: ${REFUSALS[admission.reason]}`);
    const { deviceId } = admission;
    if (!paces.take(deviceId))
      return textError(reply.header("retry-after", String(HURRIED_RETRY_S)), 429, "this device tells too often; try again later");
    const { body } = request;
    if (!(body instanceof Uint8Array)) throw new Fault("schema.invalid", "the body is empty: expected a notice as JSON");
    const what = "notice of a board";
    const { deviceId: named, born, found } = check(boardNoticeSchema, parseJson(body, BOARD_BYTES_MAX, what), what);
    if (named !== deviceId)
      throw new Fault("enrol.mismatch", `the notice is for "${named}", but the certificate is for "${deviceId}"`);
    const before = await store.boards.find(deviceId);
    await store.commit(store.boards.put(deviceId, { born, found, address: request.ip, seenAtMs: Date.now() }));
    const isAdmitted = isLetIn(before?.admitted, found);
    const board = canonicalJson([deviceId, born, found]);
    const isQuiet = (quiet.get(board) ?? 0) > performance.now();
    if (!isAdmitted && !isQuiet && isNews(before, { born, found }, Date.now())) {
      if (quiet.size >= BOARDS_QUIET_MAX) quiet.clear();
      quiet.set(board, performance.now() + DAY_MS);
      const what = `an enrolled disk was started in another board, and waits; run sallyport-hub devices board ${deviceId}`;
      journal("device.other-board", deviceId, { born: boardText(born), found: boardText(found), address: request.ip, what });
      await tellFirstBoard(store, deviceId, found);
    }
    return reply.type("application/json").send(JSON.stringify({ decision: isAdmitted ? "take" : "wait" }));
  });
}
