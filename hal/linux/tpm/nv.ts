// Non-volatile indices: small data and counters within the chip. (Part 3, clause 31)
import { ALG, COMMAND, HANDLE } from "./constants.ts";
import { permanent } from "./objects.ts";
import { type Authorization, NO_PASSWORD, type TpmEntity, type TpmSession } from "./session.ts";
import { digestOf } from "./structures.ts";
import type { Tpm } from "./tpm.ts";
import { join, sized, u16, u32, type WireReader } from "./wire.ts";

/** TPMS_NV_PUBLIC. (Part 2, table 215) */
export interface NvPublic {
  readonly index: number;
  /** TPMA_NV. */
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
  readonly bytes: number;
}

/** An index and the Name that it has now: the first write changes it. */
export type NvIndex = TpmEntity & { readonly area: NvPublic };

/** Bytes of one read or write: each chip can do as many (TPM_PT_NV_BUFFER_MAX is 512 at least). */
const PART_BYTES_MAX = 512;

/** TPMS_NV_PUBLIC, always with SHA-256. (Part 2, table 215) */
export function writeNvPublic({ index, attributes, authPolicy, bytes }: NvPublic): Uint8Array {
  return join(u32(index), u16(ALG.sha256), u32(attributes), sized(authPolicy), u16(bytes));
}

/** TPMS_NV_PUBLIC. (Part 2, table 215) */
export function readNvPublic(reader: WireReader): NvPublic {
  const index = reader.u32();
  const hash = reader.u16();
  if (hash !== ALG.sha256) throw reader.wrong(`name hash ${hash} of an index; SHA-256 is supported`);
  return { index, attributes: reader.u32(), authPolicy: reader.sized(), bytes: reader.u16() };
}

/** The Name of an index. (Part 1, Names) */
export function nvName(area: NvPublic): Uint8Array {
  return join(u16(ALG.sha256), digestOf(ALG.sha256, writeNvPublic(area)));
}

/**
 * TPM2_NV_DefineSpace in the owner's name. (Part 3, clause 31.3)
 * @param options.password of the index, encrypted on the way by a salted session.
 * @throws Fault `tpm.exists`; `tpm.nv-full`.
 */
export function nvDefineSpace(
  tpm: Tpm,
  area: NvPublic,
  options: { readonly password?: Uint8Array; readonly auth?: Authorization; readonly cover?: TpmSession } = {},
): Promise<void> {
  const { password = new Uint8Array(), auth = NO_PASSWORD, cover } = options;
  return tpm.run(
    {
      name: "TPM2_NV_DefineSpace",
      code: COMMAND.nvDefineSpace,
      handles: [permanent(HANDLE.owner)],
      auths: [auth],
      cover,
      parameters: join(sized(password), sized(writeNvPublic(area))),
      sized: "command",
    },
    () => undefined,
  );
}

/** TPM2_NV_UndefineSpace in the owner's name. (Part 3, clause 31.4) */
export function nvUndefineSpace(tpm: Tpm, index: TpmEntity, auth: Authorization = NO_PASSWORD): Promise<void> {
  const handles = [permanent(HANDLE.owner), index];
  return tpm.run({ name: "TPM2_NV_UndefineSpace", code: COMMAND.nvUndefineSpace, handles, auths: [auth] }, () => undefined);
}

/** TPM2_NV_ReadPublic. (Part 3, clause 31.6) @throws Fault `tpm.missing`. */
export function nvReadPublic(tpm: Tpm, index: number): Promise<NvIndex> {
  return tpm.run({ name: "TPM2_NV_ReadPublic", code: COMMAND.nvReadPublic, handles: [permanent(index)] }, (reader) => {
    const area = reader.within(readNvPublic);
    const name = reader.sized();
    if (!Buffer.from(nvName(area)).equals(name)) throw reader.wrong("a Name that is not the one of the index");
    return { handle: index, name, area };
  });
}

/** Who authorizes: the index by its own password, or the owner. */
export type NvAuthorizer = "index" | "owner";

function handlesOf(index: TpmEntity, by: NvAuthorizer): readonly TpmEntity[] {
  return [by === "index" ? index : permanent(HANDLE.owner), index];
}

/** TPM2_NV_Write of a whole index, in parts. Not atomic across parts. (Part 3, clause 31.7) */
export async function nvWrite(
  tpm: Tpm,
  index: TpmEntity,
  data: Uint8Array,
  by: NvAuthorizer,
  auth: Authorization = NO_PASSWORD,
  cover?: TpmSession,
): Promise<void> {
  // After the first part the index is "written" and has another Name, which the next part needs.
  let target = index;
  for (let at = 0; at < data.length; at += PART_BYTES_MAX) {
    if (at > 0) target = await nvReadPublic(tpm, index.handle);
    const parameters = join(sized(data.subarray(at, at + PART_BYTES_MAX)), u16(at));
    await tpm.run(
      {
        name: "TPM2_NV_Write",
        code: COMMAND.nvWrite,
        handles: handlesOf(target, by),
        auths: [auth],
        cover,
        parameters,
        sized: "command",
      },
      () => undefined,
    );
  }
}

/** TPM2_NV_Read of a whole index, in parts. (Part 3, clause 31.13) @throws `tpm.nv-unwritten`. */
export async function nvRead(
  tpm: Tpm,
  index: NvIndex,
  by: NvAuthorizer,
  auth: Authorization = NO_PASSWORD,
  cover?: TpmSession,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < index.area.bytes; at += PART_BYTES_MAX) {
    const wanted = Math.min(index.area.bytes - at, PART_BYTES_MAX);
    const part = await tpm.run(
      {
        name: "TPM2_NV_Read",
        code: COMMAND.nvRead,
        handles: handlesOf(index, by),
        auths: [auth],
        cover,
        parameters: join(u16(wanted), u16(at)),
        sized: "response",
      },
      (reader) => {
        const bytes = reader.sized();
        if (bytes.length !== wanted) throw reader.wrong(`${bytes.length} bytes of an index, and ${wanted} were asked for`);
        return bytes;
      },
    );
    parts.push(part);
  }
  return join(...parts);
}

/** TPM2_NV_Increment of a counter. (Part 3, clause 31.8) */
export function nvIncrement(tpm: Tpm, index: TpmEntity, by: NvAuthorizer, auth: Authorization = NO_PASSWORD): Promise<void> {
  const handles = handlesOf(index, by);
  return tpm.run({ name: "TPM2_NV_Increment", code: COMMAND.nvIncrement, handles, auths: [auth] }, () => undefined);
}
