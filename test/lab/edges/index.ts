// Every edge of the programs: the places where they read what somebody else wrote.
import { escrowEdges } from "./escrow.ts";
import { fileEdges } from "./files.ts";
import { machineEdges } from "./machine.ts";
import { recordEdges } from "./records.ts";
import { signingEdges } from "./signing.ts";
import { streamEdges } from "./streams.ts";
import { toolEdges } from "./tools.ts";
import { webEdges } from "./web.ts";
import { wireEdges } from "./wire.ts";
import type { Edge } from "./edge.ts";

export type { Edge } from "./edge.ts";

export async function allEdges(): Promise<ReadonlyMap<string, Edge>> {
  return new Map([
    ...(await wireEdges()),
    ...webEdges(),
    ...streamEdges(),
    ...toolEdges(),
    ...(await signingEdges()),
    ...machineEdges(),
    ...(await fileEdges()),
    ...(await recordEdges()),
    ...escrowEdges(),
  ]);
}
