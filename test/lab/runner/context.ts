// The part of a test that the lab needs.

/** Ends what was started for a test when the test ends, the newest first. tap's `Test` is one. */
export interface TestContext {
  teardown(end: () => unknown): void;
}
