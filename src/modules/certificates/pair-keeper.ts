import type { Obtained } from './certificate-order.ts'

/** Where chains and keys are kept, sealed: the ingress opens them from there. */
export interface PairFiles {
  /** The id that a pair is kept under, the same for the same pair. */
  idOf(pair: Obtained): string
  write(pair: Obtained): Promise<string>
  read(id: string): Promise<Obtained | undefined>
  remove(id: string): Promise<void>
  /** Keeps the file of one that cannot be opened under another name, if it is there. */
  setAside(id: string): Promise<void>
  list(): Promise<string[]>
}

export type PairKeeper = ReturnType<typeof createPairKeeper>

/**
 * Writes pairs for rows to name, and removes those that no row names, without the one undoing the other. `named` gives the ids that
 * rows name at this moment.
 */
export function createPairKeeper(files: PairFiles, named: () => ReadonlySet<string>) {
  /** How many are at work on a pair that no row need name yet. */
  const held = new Map<string, number>()
  const removals = new Map<string, Promise<void>>()

  const release = (id: string): void => {
    const others = (held.get(id) ?? 1) - 1
    if (others === 0) held.delete(id)
    else held.set(id, others)
  }

  return {
    /** Writes a pair and calls `use` with its id, to have a row name it; the file is safe from before it is there until then. */
    keep: async <T>(pair: Obtained, use: (id: string) => T | Promise<T>): Promise<T> => {
      const id = files.idOf(pair)
      held.set(id, (held.get(id) ?? 0) + 1)
      try {
        await removals.get(id)
        await files.write(pair)
        return await use(id)
      } finally {
        release(id)
      }
    },

    /** Removes the pairs that no row names: what a crash or a deletion left. */
    sweep: async (): Promise<void> => {
      const kept = await files.list()
      const before = named()
      for (const id of kept) {
        // Looked at again behind each removal: others are written and named meanwhile.
        if (before.has(id) || held.has(id) || named().has(id)) continue
        const removal = files.remove(id)
        removals.set(id, removal)
        await removal.finally(() => removals.delete(id))
      }
    },
  }
}
