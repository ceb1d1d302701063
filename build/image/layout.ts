// The positions of the partitions on the disk.

/** Sizes in MiB. */
export interface DiskSizes {
  readonly esp: number;
  /** The size of each slot's root. */
  readonly slot: number;
  readonly data: number;
}

/** A range of bytes of the disk: the first one, and the one behind the last. */
export interface Extent {
  readonly from: number;
  readonly to: number;
}

export interface DiskLayout {
  readonly partitions: Readonly<Record<"esp" | "root-a" | "root-b" | "data", Extent>>;
  readonly bytes: number;
}

export const MEBIBYTE = 1_048_576;

/**
 * Places the partitions one behind the other. The first mebibyte has the partition table, the last
 * one its copy (UEFI specification 2.10, section 5.3.1).
 */
export function layoutOf({ esp, slot, data }: DiskSizes): DiskLayout {
  let end = MEBIBYTE;
  const next = (mib: number): Extent => {
    const from = end;
    end += mib * MEBIBYTE;
    return { from, to: end };
  };
  const partitions = { esp: next(esp), "root-a": next(slot), "root-b": next(slot), data: next(data) };
  return { partitions, bytes: end + MEBIBYTE };
}
