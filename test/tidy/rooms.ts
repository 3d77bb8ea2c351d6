import { importsOf, type SourceFile } from "./sources.ts";

/** A row of the table of rooms in ARCHITECTURE.md. */
export interface Room {
  readonly name: string;
  readonly layer: number;
  /** Rooms it may import beside the shared words; "all": any. */
  readonly rooms: readonly string[] | "all";
  /** npm packages it may import. */
  readonly packages: readonly string[];
}

/** Rooms that every room of a higher layer may import. */
const SHARED: readonly string[] = ["stdx", "errors.ts", "core/types"];

/** Rooms that hold no secret and decide nothing: the edge does, so that no second way can. */
const BLIND: readonly string[] = ["core/", "storage", "transport", "node"];
/** A second way to the data that forgets a check is the commonest hole in this field. */
const NODE_CALLERS: readonly string[] = ["edge", "server"];

const KEYED: readonly string[] = ["seal", "identity", "access"];

/** The rows of the table whose header starts with "Layer" and "Room". */
export function parseRooms(markdown: string): readonly Room[] {
  const lines = markdown.split("\n");
  const header = lines.findIndex((line) => /^\|\s*Layer\s*\|\s*Room\s*\|/.test(line));
  if (header < 0) return [];
  const rows: Room[] = [];
  for (const line of lines.slice(header + 2)) {
    if (!line.startsWith("|")) break;
    const cells = line.split("|").map((cell) => cell.trim());
    const [, layer = "", name = "", , rooms = "", packages = ""] = cells;
    rows.push({
      name: quoted(name)[0] ?? name,
      layer: Number(layer),
      rooms: rooms === "all" ? "all" : quoted(rooms),
      packages: quoted(packages),
    });
  }
  return rows;
}

function quoted(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}

/** Problems of the table itself: a room may name only rooms of strictly lower layers. */
export function checkTable(rooms: readonly Room[]): readonly string[] {
  const layerOf = new Map(rooms.map((room) => [room.name, room.layer]));
  const problems: string[] = [];
  for (const room of rooms) {
    if (!Number.isInteger(room.layer)) problems.push(`${room.name}: its layer is not a number`);
    for (const other of room.rooms === "all" ? [] : room.rooms) {
      const layer = layerOf.get(other);
      if (layer === undefined) problems.push(`${room.name}: may import ${other}, not a room`);
      else if (layer >= room.layer) problems.push(`${room.name}: ${other} is not in a lower layer`);
      if (BLIND.some((blind) => room.name.startsWith(blind)) && KEYED.includes(other)) {
        problems.push(`${room.name}: is blind, so it may not import ${other}`);
      }
    }
    if (room.rooms.includes("node") && !NODE_CALLERS.includes(room.name)) {
      problems.push(`${room.name}: only the edge calls node, and server wires it`);
    }
  }
  return problems;
}

/** Every import of `files` that the table does not allow. */
export function checkImports(
  rooms: readonly Room[],
  files: readonly SourceFile[],
): readonly string[] {
  return files.flatMap((file) => {
    const room = roomOf(rooms, file.path);
    if (room === undefined) return [`${file.path}: is in no room of ARCHITECTURE.md's table`];
    return importsOf(file)
      .map((target) => refusal(rooms, room, target))
      .filter((problem) => problem !== undefined)
      .map((problem) => `${file.path}: ${problem}`);
  });
}

/** Why `room` may not import `target`; undefined if it may. */
function refusal(rooms: readonly Room[], room: Room, target: string): string | undefined {
  if (target.startsWith("src/")) return roomRefusal(rooms, room, target);
  if (target.startsWith("test/")) return `imports test code ${target}`;
  if (target.startsWith("node:")) {
    return isPure(room.name) ? `imports ${target}, but ${room.name} is pure` : undefined;
  }
  const name = packageName(target);
  if (room.rooms === "all" || room.packages.includes(name)) return undefined;
  return `imports the package ${name}, which the table does not give to ${room.name}`;
}

function roomRefusal(rooms: readonly Room[], room: Room, target: string): string | undefined {
  const other = roomOf(rooms, target);
  if (other === undefined) return `imports ${target}, which is in no room`;
  if (other.name === room.name) return undefined;
  const face = other.name.endsWith(".ts") ? `src/${other.name}` : `src/${other.name}/mod.ts`;
  if (target !== face) return `imports ${target} instead of ${face}`;
  if (SHARED.includes(other.name) && other.layer < room.layer) return undefined;
  if (room.rooms === "all" || room.rooms.includes(other.name)) return undefined;
  return `imports ${other.name}, which the table does not allow ${room.name}`;
}

/** The room that holds `path`: the longest name that fits. */
export function roomOf(rooms: readonly Room[], path: string): Room | undefined {
  const holds = (room: Room): boolean =>
    path === `src/${room.name}` || path.startsWith(`src/${room.name}/`);
  return rooms.filter(holds).toSorted((a, b) => b.name.length - a.name.length)[0];
}

export function isPure(room: string): boolean {
  return room === "stdx" || room.startsWith("core/");
}

function packageName(target: string): string {
  return target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
}
