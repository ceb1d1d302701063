// The upgrade of the device key by an operator's order: what can be ordered, what was granted, and
// the replacement in the birth record. [ID-65] [ID-66] [ID-67]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { type BirthRecord, fingerprintSchema, isWeaker, type Protection, protectionSchema } from "../../hal/format/identity.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import type { AuditRecorder } from "../audit/index.ts";
import { principalIdSchema } from "../roster/format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import type { BirthBook } from "./birth.ts";
import { type KeyGrant, type UpgradePlan, upgradePlanHash } from "./format.ts";
import { GRANT_LIFE_MS } from "./limits.ts";

const GRANT_FILE = "key-grant.json";

const grantSchema = v.strictObject({
  v: v.literal(1),
  order: nonceSchema,
  by: principalIdSchema,
  from: fingerprintSchema,
  to: protectionSchema,
  /** Unix milliseconds; absent until the clock can be trusted. */
  orderedAt: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
});
type Grant = v.InferOutput<typeof grantSchema>;

export const KEY_GRANT: RecordFormat<Grant> = {
  what: "the grant of a key upgrade",
  version: 1,
  readable: 1,
  bytesMax: 1024,
  schema: grantSchema,
  replaceable: true, // nothing but an order is lost, and it can be given again
};

export interface KeyUpgradesOptions {
  readonly births: BirthBook;
  readonly state: DurableFiles;
  readonly clock: Pick<Clock, "nowMs">;
  /** Whether the wall clock may judge the age of a grant. */
  readonly clockTrusted: () => boolean;
  /** Records a replacement in the trail unless that was done. Never throws. */
  readonly recordBirth: (record: BirthRecord) => Promise<void>;
  /** Never throws. */
  readonly record: AuditRecorder;
}

export interface KeyUpgrades {
  readonly verbs: Pick<VerbHandlers, "key.offer" | "birth.replace">;
  /** The order `key.upgrade`. */
  readonly order: {
    readonly planHash: () => string | undefined;
    /** @throws Fault `order.invalid` when it is about another upgrade; `file.*`. */
    readonly execute: (order: OrderedUpgrade) => Promise<void>;
  };
  /** The grant that counts now. One that has expired, or was used, is removed. */
  grant(): Promise<KeyGrant | undefined>;
}

interface OrderedUpgrade {
  readonly planHash?: string | undefined;
  readonly by: string;
  readonly nonce: string;
}

export function createKeyUpgrades(options: KeyUpgradesOptions): KeyUpgrades {
  const upgrades = new Upgrades(options);
  return {
    verbs: {
      "key.offer": ({ protection }) => upgrades.offer(protection),
      "birth.replace": (key) => upgrades.replace(key),
    },
    order: { planHash: () => upgrades.planHash(), execute: (order) => upgrades.grantBy(order) },
    grant: () => upgrades.grant(),
  };
}

class Upgrades {
  readonly #options: KeyUpgradesOptions;
  /** Writes of the grant must not overlap. */
  readonly #exclusively = createMutex();
  /** What the agent can make now. It is as volatile as the agent's word. */
  #plan: UpgradePlan | undefined;

  constructor(options: KeyUpgradesOptions) {
    this.#options = options;
  }

  planHash(): string | undefined {
    return this.#plan === undefined ? undefined : upgradePlanHash(this.#plan);
  }

  /**
   * [ID-65] The agent says how strong a key it could make. Only a stronger one than the recorded
   * key can be ordered.
   */
  async offer(protection: Protection | undefined): Promise<{ readonly planHash?: string; readonly grant?: KeyGrant }> {
    const birth = await this.#options.births.read();
    this.#plan =
      birth === undefined || protection === undefined || !isWeaker(birth.protection, protection)
        ? undefined
        : {
            v: 1,
            kind: "key-upgrade",
            from: { protection: birth.protection, keyFingerprint: birth.keyFingerprint },
            to: protection,
          };
    const [planHash, grant] = [this.planHash(), await this.grant()];
    return { ...(planHash === undefined ? {} : { planHash }), ...(grant === undefined ? {} : { grant }) };
  }

  /** [ID-66] A later order takes the place of an earlier one, so one grant counts at a time. */
  async grantBy({ planHash, by, nonce }: OrderedUpgrade): Promise<void> {
    const { state, record } = this.#options;
    const plan = this.#plan;
    if (plan === undefined || planHash !== upgradePlanHash(plan))
      throw new Fault(
        "order.invalid",
        "upgrade the key: the order names another upgrade than this device could make now, or it could make none; ask for a new nonce",
      );
    const { from, to } = plan;
    const nowMs = this.#trustedNowMs();
    const grant = {
      v: 1,
      order: nonce,
      by,
      from: from.keyFingerprint,
      to,
      ...(nowMs === undefined ? {} : { orderedAt: nowMs }),
    } as const;
    await this.#exclusively(() => writeRecord(state, GRANT_FILE, KEY_GRANT, grant));
    await record({
      event: "key.upgrade-ordered",
      result: "ok",
      principal: by,
      detail: { order: nonce, from: from.keyFingerprint, protection: from.protection, to },
    });
  }

  replace(key: Parameters<VerbHandlers["birth.replace"]>[0]): Promise<BirthRecord> {
    const { births, recordBirth } = this.#options;
    return this.#exclusively(async () => {
      const record = await births.replace(key, await this.#valid());
      this.#plan = undefined;
      await recordBirth(record);
      await this.#forget();
      return record;
    });
  }

  async grant(): Promise<KeyGrant | undefined> {
    const grant = await this.#exclusively(() => this.#valid());
    if (grant === undefined) return undefined;
    const { order, by, from, to, orderedAt } = grant;
    const expires = orderedAt === undefined ? undefined : new Date(orderedAt + GRANT_LIFE_MS).toISOString();
    return { order, by, from, to, ...(expires === undefined ? {} : { expires }) };
  }

  /**
   * The age counts from the first moment at which the clock could be trusted. A date that lies
   * ahead, because the clock was set back, counts as now: a wrong clock makes no grant eternal.
   */
  async #valid(): Promise<Grant | undefined> {
    const grant = await this.#read();
    if (grant === undefined) return undefined;
    const birth = await this.#options.births.read();
    if (birth?.keyFingerprint !== grant.from) {
      await this.#forget(); // it was used, and a cut came before it was removed
      return undefined;
    }
    const nowMs = this.#trustedNowMs();
    if (nowMs === undefined) return grant;
    if (grant.orderedAt === undefined || grant.orderedAt > nowMs) {
      const dated = { ...grant, orderedAt: nowMs };
      await writeRecord(this.#options.state, GRANT_FILE, KEY_GRANT, dated);
      return dated;
    }
    if (nowMs <= grant.orderedAt + GRANT_LIFE_MS) return grant;
    await this.#forget();
    const { order, by } = grant;
    await this.#options.record({ event: "key.upgrade-expired", result: "failed", principal: by, detail: { order } });
    return undefined;
  }

  /** A grant that cannot be read counts as none: it is reported as damage, and is ordered again. */
  async #read(): Promise<Grant | undefined> {
    try {
      return await readRecord(this.#options.state, GRANT_FILE, KEY_GRANT);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return undefined;
    }
  }

  async #forget(): Promise<void> {
    await this.#options.state.remove(GRANT_FILE);
  }

  #trustedNowMs(): number | undefined {
    return this.#options.clockTrusted() ? Math.floor(this.#options.clock.nowMs()) : undefined;
  }
}
