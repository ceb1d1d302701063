// One round of signing: which roles need a new version, which of them have enough signatures, and
// what may be written without what still waits. [OTA-28]
import { isDeepStrictEqual } from "node:util";
import { assert, Fault } from "../../hal/fault.ts";
import { delegatedAuthority, isReached, type SigningAuthority, topLevelAuthority } from "./authority.ts";
import type { MetaDraft, RootDraft, TargetsDraft } from "./drafts.ts";
import { readKeyChanges, rootWith, targetsWith } from "./key-changes.ts";
import { metadataPath, type WorkshopLayout } from "./layout.ts";
import { OFFLINE_EXPIRY_DAYS, ONLINE_EXPIRY_DAYS, ROOT_EXPIRY_DAYS } from "./limits.ts";
import type { ReleaseRepository } from "./repository.ts";
import { envelopeOf, readEnvelope, type Signing, type SigningWork, type Lifespan } from "./signing.ts";
import { stagedEntries } from "./staged.ts";

export interface RoundOptions {
  readonly signing: Signing;
  /** Roles to renew; empty for all that have changed. */
  readonly roles: readonly string[];
  /** False: the roles are renewed as they are, and their drafts stay. */
  readonly withDrafts: boolean;
}

export interface Round {
  /** In the order in which they are written. */
  readonly finished: readonly SigningWork[];
  readonly waiting: readonly { readonly work: SigningWork; readonly authorities: readonly SigningAuthority[] }[];
  /** Names of the drafts in each role that is signed. */
  readonly drafts: ReadonlyMap<string, readonly string[]>;
  /** Roles whose drafts are signed already: the last `sign` was interrupted at its very end. */
  readonly idle: readonly string[];
  /** Roles whose drafted keys are in force already, for the same reason. */
  readonly idleChanges: readonly string[];
}

const OFFLINE: Lifespan = { days: OFFLINE_EXPIRY_DAYS, offline: true };
const ROOT: Lifespan = { days: ROOT_EXPIRY_DAYS, offline: true };
const ONLINE: Lifespan = { days: ONLINE_EXPIRY_DAYS, offline: false };

/** @throws Fault `release.*`, `trust.*`. */
export async function runRound(layout: WorkshopLayout, repository: ReleaseRepository, options: RoundOptions): Promise<Round> {
  return await new SigningRound(layout, repository, options).run();
}

/** The delegators that a new version is judged by. */
interface Choice {
  readonly root: RootDraft;
  readonly targets: TargetsDraft;
}

class SigningRound {
  readonly #layout: WorkshopLayout;
  readonly #repository: ReleaseRepository;
  readonly #topTargets: TargetsDraft;
  readonly #options: RoundOptions;
  readonly #drafts = new Map<string, readonly string[]>();
  readonly #idle: string[] = [];
  #idleChanges: readonly string[] = [];
  #root: SigningWork<RootDraft> | undefined;
  #targets: SigningWork<TargetsDraft> | undefined;
  readonly #delegated = new Map<string, SigningWork<TargetsDraft>>();

  constructor(layout: WorkshopLayout, repository: ReleaseRepository, options: RoundOptions) {
    this.#layout = layout;
    this.#repository = repository;
    this.#options = options;
    const targets = repository.targets.get("targets");
    if (targets === undefined)
      throw new Fault("release.store-failed", "the snapshot names no targets.json; restore it from a copy of the repository");
    this.#topTargets = targets;
  }

  async run(): Promise<Round> {
    await this.#signOffline();
    const choice = await this.#choose();
    const chosen = this.#offlineWorks().filter((work) => this.#isDone(work, choice));
    const online = await this.#signOnline(choice, chosen);
    const isComplete = online.every(({ work, authorities }) => isReached(envelopeOf(work), authorities));
    const finished = isComplete ? [...chosen, ...online.map(({ work }) => work)] : [];
    const waiting = [...this.#offlineWorks().map((work) => ({ work, authorities: this.#authoritiesOf(work) })), ...online].filter(
      ({ work }) => !finished.includes(work),
    );
    return { finished, waiting, drafts: this.#drafts, idle: this.#idle, idleChanges: this.#idleChanges };
  }

  async #signOffline(): Promise<void> {
    const { signing, withDrafts } = this.#options;
    const { root } = this.#repository;
    const changes = withDrafts ? await readKeyChanges(this.#layout) : {};
    this.#idleChanges = Object.entries(changes).flatMap(([role, change]) => {
      const one = { [role]: change };
      const isInForce =
        isDeepStrictEqual(rootWith(root, one), root) && isDeepStrictEqual(targetsWith(this.#topTargets, one), this.#topTargets);
      return isInForce ? [role] : [];
    });
    const nextRoot = { ...rootWith(root, changes), version: root.version + 1 };
    if (await this.#isDue("root", root, nextRoot, ROOT))
      this.#root = await signing.work(
        "root",
        nextRoot,
        ROOT,
        unique([root, nextRoot].map((each) => topLevelAuthority("root", each))),
      );

    const roots = [this.#root?.draft ?? root, root].map((each) => topLevelAuthority("targets", each));
    const nextTargets = { ...targetsWith(this.#topTargets, changes), version: this.#topTargets.version + 1 };
    if (
      (await this.#isDue("targets", this.#topTargets, nextTargets, OFFLINE)) ||
      (this.#isForcing(this.#root) && !(await this.#isSatisfied("targets", this.#topTargets.version, roots[0])))
    )
      this.#targets = await signing.work("targets", nextTargets, OFFLINE, unique(roots));
    for (const [role, before] of this.#repository.targets) if (role !== "targets") await this.#signDelegated(role, before);
  }

  async #signDelegated(role: string, before: TargetsDraft): Promise<void> {
    const staged = this.#options.withDrafts ? await stagedEntries(this.#layout, role) : {};
    const next = { ...before, version: before.version + 1, targets: { ...before.targets, ...staged } };
    const delegators = [this.#targets?.draft ?? this.#topTargets, this.#topTargets];
    const authorities = delegators.flatMap((each) => delegatedAuthority(role, each) ?? []);
    if (
      (await this.#isDue(role, before, next, OFFLINE)) ||
      (this.#isForcing(this.#targets) && !(await this.#isSatisfied(role, before.version, authorities[0])))
    ) {
      this.#delegated.set(role, await this.#options.signing.work(role, next, OFFLINE, unique(authorities)));
      if (this.#options.withDrafts) this.#drafts.set(role, Object.keys(staged));
    } else if (Object.keys(staged).length > 0 && this.#options.roles.length === 0) this.#idle.push(role);
  }

  async #isDue(role: string, before: object, next: object & { readonly version: number }, validity: Lifespan): Promise<boolean> {
    const { roles, signing } = this.#options;
    if (roles.length > 0) return roles.includes(role);
    const { version: _version, ...content } = next;
    return !isDeepStrictEqual({ ...before, ...content }, before) || (await signing.isBegun(role, next, validity));
  }

  /** Whether roles are signed again whose file does not satisfy their delegator. */
  #isForcing(delegator: SigningWork | undefined): boolean {
    return delegator !== undefined || this.#options.roles.length === 0;
  }

  /**
   * The newest delegators that may be written: each is complete, and so is what rests on it. The
   * last choice writes neither of them.
   */
  async #choose(): Promise<Choice> {
    const { root } = this.#repository;
    for (const newRoot of [this.#root?.draft, root])
      for (const newTargets of [this.#targets?.draft, this.#topTargets]) {
        if (newRoot === undefined || newTargets === undefined) continue;
        const choice = { root: newRoot, targets: newTargets };
        if (await this.#holds(choice)) return choice;
      }
    return { root, targets: this.#topTargets };
  }

  async #holds(choice: Choice): Promise<boolean> {
    const { root, targets } = choice;
    if (root === this.#root?.draft && !this.#isDone(this.#root, choice)) return false;
    if (targets === this.#targets?.draft) {
      if (!this.#isDone(this.#targets, choice)) return false;
    } else if (
      root === this.#root?.draft &&
      !(await this.#isSatisfied("targets", targets.version, topLevelAuthority("targets", root)))
    )
      return false;
    if (targets !== this.#targets?.draft) return true;
    for (const [role, { version }] of this.#repository.targets) {
      const work = this.#delegated.get(role);
      if (role === "targets" || (work !== undefined && this.#isDone(work, choice))) continue;
      if (!(await this.#isSatisfied(role, version, delegatedAuthority(role, targets)))) return false;
    }
    return true;
  }

  /** Whether a work is part of `choice`, and has enough signatures there. */
  #isDone(work: SigningWork, { root, targets }: Choice): boolean {
    if (work === this.#root)
      return (
        root === work.draft &&
        isReached(
          envelopeOf(work),
          [this.#repository.root, root].map((each) => topLevelAuthority("root", each)),
        )
      );
    if (work === this.#targets)
      return targets === work.draft && isReached(envelopeOf(work), [topLevelAuthority("targets", root)]);
    return isReached(envelopeOf(work), [delegatedAuthority(work.role, targets)]);
  }

  /** Snapshot and timestamp over what will be written. */
  async #signOnline({ root }: Choice, chosen: readonly SigningWork[]) {
    const { signing, roles } = this.#options;
    const { snapshot, timestamp } = this.#repository;
    const below = chosen.filter(({ role }) => role !== "root");
    const meta = {
      ...snapshot.meta,
      ...Object.fromEntries(below.map(({ role, draft: { version } }) => [`${role}.json`, { version }])),
    };
    const works: { work: SigningWork; authorities: readonly SigningAuthority[] }[] = [];
    const online = async (role: "snapshot" | "timestamp", next: MetaDraft, current: number | undefined, isDue: boolean) => {
      const authority = topLevelAuthority(role, root);
      const isForced = (root === this.#root?.draft || roles.length === 0) && !(await this.#isSatisfied(role, current, authority));
      const isBegun = roles.length === 0 && (await signing.isBegun(role, next, ONLINE));
      if (!isDue && !isForced && !isBegun) return undefined;
      const work = await signing.work(role, next, ONLINE, [authority]);
      works.push({ work, authorities: [authority] });
      return work;
    };
    const nextSnapshot = { ...snapshot, version: snapshot.version + 1, meta };
    const made = await online("snapshot", nextSnapshot, snapshot.version, below.length > 0 || roles.includes("snapshot"));
    const version = made?.draft.version ?? snapshot.version;
    const nextTimestamp = { ...timestamp, version: timestamp.version + 1, meta: { "snapshot.json": { version } } };
    await online("timestamp", nextTimestamp, undefined, made !== undefined || roles.includes("timestamp"));
    return works;
  }

  async #isSatisfied(role: string, version: number | undefined, authority: SigningAuthority | undefined): Promise<boolean> {
    const envelope = await readEnvelope(metadataPath(this.#layout, role, version));
    return envelope !== undefined && isReached(envelope, [authority]);
  }

  #offlineWorks(): readonly SigningWork[] {
    return [this.#root, this.#targets, ...this.#delegated.values()].filter((work) => work !== undefined);
  }

  /** Who has to sign a work in the end, for people. */
  #authoritiesOf(work: SigningWork): readonly SigningAuthority[] {
    const root = this.#root?.draft ?? this.#repository.root;
    if (work === this.#root) return unique([this.#repository.root, root].map((each) => topLevelAuthority("root", each)));
    if (work === this.#targets) return [topLevelAuthority("targets", root)];
    const authority = delegatedAuthority(work.role, this.#targets?.draft ?? this.#topTargets);
    assert(authority !== undefined, "a role that is signed is delegated to");
    return [authority];
  }
}

/** Without those that name the same keys and threshold as an earlier one. */
function unique(authorities: readonly SigningAuthority[]): readonly SigningAuthority[] {
  const same = (a: SigningAuthority, b: SigningAuthority) =>
    a.role.threshold === b.role.threshold && isDeepStrictEqual([...a.role.keyids].sort(), [...b.role.keyids].sort());
  return authorities.filter((each, at) => authorities.findIndex((other) => same(each, other)) === at);
}
