// The fault of a refusal, for tests that check more than its code.
import { Fault } from "../../../hal/fault.ts";

/**
 * @returns the Fault that `act` throws or rejects with.
 * @throws any other error; Fault `assert.broken` when nothing is refused.
 */
export async function faultOf(act: () => unknown): Promise<Fault> {
  try {
    await act();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Fault("assert.broken", "nothing was refused");
}
