// Optional members from values that may be undefined.

/**
 * The members of `T`: those that may be undefined are optional, and never undefined when present.
 */
type Defined<T extends object> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * @returns `members` without those that are undefined. With exact optional property types,
 *   `{ x: undefined }` is no `{ x?: string }`; `defined({ x })` is one.
 */
export function defined<const T extends object>(members: T): Defined<T>;
export function defined(members: object): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
