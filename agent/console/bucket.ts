// How often something may happen, as a bucket of tokens. Pure: the time comes in, by a clock that never steps.

export interface Bucket {
  readonly tokens: number;
  readonly filledAtMs: number;
}

export interface BucketSize {
  readonly tokensMax: number;
  readonly refillMs: number;
}

export function fullBucket({ tokensMax }: BucketSize, nowMs: number): Bucket {
  return { tokens: tokensMax, filledAtMs: nowMs };
}

/** @returns the bucket with one token less and 0, or as it is and how long until there is one, in milliseconds. */
export function takeToken(
  bucket: Bucket,
  { tokensMax, refillMs }: BucketSize,
  nowMs: number,
): { readonly bucket: Bucket; readonly waitMs: number } {
  const tokens = Math.min(tokensMax, bucket.tokens + (nowMs - bucket.filledAtMs) / refillMs);
  if (tokens < 1) return { bucket: { tokens, filledAtMs: nowMs }, waitMs: Math.ceil((1 - tokens) * refillMs) };
  return { bucket: { tokens: tokens - 1, filledAtMs: nowMs }, waitMs: 0 };
}
