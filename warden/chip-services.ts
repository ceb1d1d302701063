// The services of the TPM, put together: passwords that come back, the ownership, and the escrow.
import type { Fault } from "../hal/fault.ts";
import type { BirthRecord, DeviceId } from "../hal/format/identity.ts";
import type { Clock, DurableFiles, TpmChip } from "../hal/ports.ts";
import type { HubKeys } from "./anchors.ts";
import { type AuditEntry, decodeVerifier } from "./audit/format/index.ts";
import type { AuditLog } from "./audit/index.ts";
import type { EscrowKey } from "./escrow/format/index.ts";
import { type Escrow, openEscrow } from "./escrow/index.ts";
import { adoptPasswords, type ChipOwnership, createPasswordKeeper, openChipOwnership } from "./tpm/index.ts";

export interface ChipServicePorts {
  /** Undefined where no TPM is configured. */
  readonly tpm: TpmChip | undefined;
  readonly state: DurableFiles;
  readonly clock: Clock;
}

export interface ChipServiceSettings {
  readonly tpmOwnership: "take" | "leave";
  readonly escrowKey: EscrowKey | Fault | undefined;
  readonly hubKeys: Pick<HubKeys, "witness"> | undefined;
}

export interface ChipServices {
  readonly ownership: ChipOwnership | undefined;
  readonly escrow: Escrow;
  /** Why passwords that somebody put back were not taken. */
  readonly adoption: Fault | undefined;
}

/** [ID-50] The agent is served after it, so that its first key lies under the storage root. */
export async function openChip(
  { tpm, state, clock }: ChipServicePorts,
  { tpmOwnership, escrowKey, hubKeys }: ChipServiceSettings,
  { record, report }: { readonly record: (entry: AuditEntry) => Promise<void>; readonly report: (fault: Fault) => void },
  device: {
    readonly birth: BirthRecord | undefined;
    readonly deviceId: DeviceId;
    readonly log: Pick<AuditLog, "signNote" | "auditKey">;
  },
): Promise<ChipServices> {
  const { birth, deviceId, log } = device;
  const escrow = await openEscrow({
    files: state,
    deviceId,
    owner: escrowKey,
    sign: (text) => log.signNote(text),
    verifier: decodeVerifier(log.auditKey),
    witness: hubKeys?.witness,
    clock,
  });
  if (tpm === undefined) return { ownership: undefined, escrow, adoption: undefined };
  const adoption = await adoptPasswords({ chip: tpm, files: state, deviceId, record });
  if (adoption !== undefined) report(adoption);
  const keyUnder = birth === undefined || birth.protection === "file" ? undefined : (birth.chip?.storage ?? "unknown");
  const keeper = createPasswordKeeper(escrow);
  const ownership = await openChipOwnership({
    chip: tpm,
    files: state,
    clock,
    ownership: tpmOwnership,
    keyUnder,
    keeper,
    record,
    report,
  });
  return { ownership, escrow, adoption };
}
