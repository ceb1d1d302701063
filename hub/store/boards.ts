// What devices have told of another board than that of their birth: the last notice of each, and
// the board that an operator has let in. [ID-97]
import type { Board, DeviceId } from "../../hal/format/identity.ts";
import { boardSchema } from "../../hal/format/identity.ts";
import { canonicalJson, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { type Change, change, type Engine, guard } from "./engine.ts";
import { integer, optional, type Row, text } from "./row.ts";

export interface OtherBoard {
  readonly born: Board;
  readonly found: Board;
  readonly address: string;
  readonly seenAtMs: number;
  /** The board that an operator has let in last. */
  readonly admitted: Board | undefined;
}

export interface Boards {
  find(id: DeviceId): Promise<OtherBoard | undefined>;
  put(id: DeviceId, notice: Omit<OtherBoard, "admitted">): Change;
  /** The next device with this id is another one. */
  remove(id: DeviceId): Change;
  /** A guard too: `found` is still what the device told last. */
  admit(id: DeviceId, found: Board): Change;
}

const BOARD_TEXT_BYTES_MAX = 4096;
const PUT = `INSERT INTO boards (id, born, found, address, seenAt) VALUES (:id, :born, :found, :address, :seenAt)
  ON CONFLICT (id) DO UPDATE SET born = :born, found = :found, address = :address, seenAt = :seenAt`;

export function createBoards(engine: Engine): Boards {
  return {
    find: async (id) => {
      const [row] = await engine.read("SELECT * FROM boards WHERE id = ?", [id]);
      return row === undefined
        ? undefined
        : {
            born: board(row, "born"),
            found: board(row, "found"),
            address: text(row, "address"),
            seenAtMs: integer(row, "seenAt"),
            admitted: optional(board, row, "admitted"),
          };
    },
    put: (id, { born, found, address, seenAtMs: seenAt }) =>
      change(PUT, { id, born: canonicalJson(born), found: canonicalJson(found), address, seenAt }),
    remove: (id) => change("DELETE FROM boards WHERE id = ?", [id]),
    admit: (id, found) => guard("UPDATE boards SET admitted = found WHERE id = ? AND found = ?", [id, canonicalJson(found)]),
  };
}

function board(row: Row, column: string): Board {
  const json = parseJson(text(row, column), BOARD_TEXT_BYTES_MAX, "stored board");
  return check(boardSchema, json, "stored board", "hub.store-failed");
}
