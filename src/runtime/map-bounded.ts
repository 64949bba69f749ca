/** `map` over promises, in order, with at most `width` under way at once. The first failure rejects. */
export async function mapBounded<T, R>(
  items: readonly T[],
  width: number,
  map: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  const entries = items.entries()
  const lane = async (): Promise<void> => {
    // The iterator is shared: each lane takes the next item that no other has taken.
    for (const [position, item] of entries) results[position] = await map(item)
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane))
  return results
}
