// The long run of the tests, `npm run test:long`: what takes minutes and repeats one idea.

/** Whether this is the long run: a test then takes its whole table instead of the worst rows. */
export function isLongRun(): boolean {
  return process.env["SALLYPORT_TESTS"] === "long";
}

/** For a program of a test, so that it knows too. */
export const LONG_RUN = { SALLYPORT_TESTS: "long" } as const;
