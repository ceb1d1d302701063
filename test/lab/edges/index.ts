// Every edge of the programs: the places where they read what somebody else wrote.
import { fileEdges } from "./files.ts";
import { wireEdges } from "./wire.ts";
import type { Edge } from "./edge.ts";

export type { Edge } from "./edge.ts";

export async function allEdges(): Promise<ReadonlyMap<string, Edge>> {
  return new Map([...(await wireEdges()), ...(await fileEdges())]);
}
