// Looking at refusals.
import { Fault } from "../../../hal/fault.ts";

/** @returns the Fault that `act` throws or rejects with. @throws what else it throws; Fault `assert.broken` when it refuses nothing. */
export async function faultOf(act: () => unknown): Promise<Fault> {
  try {
    await act();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Fault("assert.broken", "nothing was refused");
}
