/** Which part of a list is wanted. */
export interface PageRequest {
  /** 1 to 1000. */
  readonly limit: number
  /** The key of the last item that the client has; the page begins behind it. */
  readonly after?: string
}

export interface Page<Item> {
  items: Item[]
  /** The key to go on from; undefined on the last page. */
  next?: string
}

/** Makes a page of rows that were read with `LIMIT limit + 1`: the extra row only tells that there is more. */
export function pageOf<Item>(
  rows: readonly Item[],
  limit: number,
  keyOf: (item: Item) => string,
): Page<Item> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length > limit && last !== undefined ? { items, next: keyOf(last) } : { items }
}

/** Makes a page of a list that is in memory whole. An `after` that is not among the keys (any more) begins at its place in their order. */
export function pageOfAll<Item>(
  all: readonly Item[],
  { limit, after }: PageRequest,
  keyOf: (item: Item) => string,
): Page<Item> {
  const sorted = all.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))
  const rest = sorted.filter((item) => after === undefined || keyOf(item) > after)
  return pageOf(rest.slice(0, limit + 1), limit, keyOf)
}
