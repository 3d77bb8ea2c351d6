/** Who has which role: `g` rows as a graph, and its limits. */

/**
 * Links from a principal to the farthest role that still counts; casbin's role manager stops there
 * without a word, so longer chains are refused when written.
 */
export const ROLE_DEPTH_MAX = 10;

/** Roles that one member may be given directly. */
export const ROLES_PER_MEMBER_MAX = 64;

/** member -> the roles it is given directly. */
export type RoleLinks = ReadonlyMap<string, readonly string[]>;

/**
 * All that `subject` is: itself, its groups, and every role these reach in at most ROLE_DEPTH_MAX
 * links (subject to group is one). Each maps to what it was reached from.
 */
export function closureOf(
  subject: string,
  groups: readonly string[],
  links: RoleLinks,
): ReadonlyMap<string, string | undefined> {
  const from = new Map<string, string | undefined>([[subject, undefined]]);
  let frontier: string[] = [subject];
  for (let depth = 0; depth < ROLE_DEPTH_MAX && frontier.length > 0; depth++) {
    const next: string[] = [];
    for (const member of frontier) {
      const given = links.get(member) ?? [];
      for (const role of depth === 0 ? [...groups, ...given] : given) {
        if (from.has(role)) continue;
        from.set(role, member);
        next.push(role);
      }
    }
    frontier = next;
  }
  return from;
}

/** The chain from the principal to `member`, both included. Empty if `member` is not in it. */
export function chainTo(
  closure: ReadonlyMap<string, string | undefined>,
  member: string,
): readonly string[] {
  if (!closure.has(member)) return [];
  const chain: string[] = [];
  for (let at: string | undefined = member; at !== undefined; at = closure.get(at)) chain.push(at);
  return chain.toReversed();
}

/**
 * The first link (member, role) on a chain of more than ROLE_DEPTH_MAX links, or undefined. A cycle
 * is an endless chain and is found alike. A chain from a group counts one more, since a principal
 * stands before the group. Linear: every member's height is worked out once.
 */
export function tooDeepLink(links: RoleLinks): readonly [string, string] | undefined {
  const heights = new Map<string, number>();
  const height = (member: string, depth: number): number => {
    const known = heights.get(member);
    if (known !== undefined) return known;
    if (depth > ROLE_DEPTH_MAX) return Infinity;
    let tallest = 0;
    for (const role of links.get(member) ?? []) {
      const above = height(role, depth + 1);
      if (above === Infinity) return Infinity; // At once: looking on would try every chain.
      tallest = Math.max(tallest, 1 + above);
    }
    heights.set(member, tallest);
    return tallest;
  };
  for (const [member, roles] of links) {
    const before = member.startsWith("group:") ? 1 : 0;
    for (const role of roles) {
      if (before + 1 + height(role, before + 1) > ROLE_DEPTH_MAX) return [member, role];
    }
  }
  return undefined;
}
