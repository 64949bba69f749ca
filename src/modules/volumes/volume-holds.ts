import { createKeyedTurns } from '../../lib/keyed-turns.ts'

export type VolumeHolds = ReturnType<typeof createVolumeHolds>

/** Ends a hold; to be called once. */
export type LetGo = () => void

/**
 * Who is at work with which volumes of the engine, by their names there. A container keeps its volumes by itself; a hold keeps one that a container
 * is about to have: of a volume that is gone by then the engine would make an empty one without a word.
 */
export function createVolumeHolds() {
  const counts = new Map<string, number>()
  const removals = createKeyedTurns()
  const share = (name: string): LetGo => {
    counts.set(name, (counts.get(name) ?? 0) + 1)
    return () => {
      const left = (counts.get(name) ?? 0) - 1
      if (left > 0) counts.set(name, left)
      else counts.delete(name)
    }
  }
  return {
    /** Keeps a volume from being removed, beside others who do. No removal of it may be under way. */
    share,

    /** The same for one who wants to be the only one; undefined while someone else holds it. A removal that has begun may still go on. */
    takeAlone: (name: string): LetGo | undefined => (counts.has(name) ? undefined : share(name)),

    /** Removes a volume unless someone holds it: then false, and nothing was done. */
    remove: (name: string, work: () => Promise<void>): Promise<boolean> =>
      removals.take(name, async () => {
        if (counts.has(name)) return false
        await work()
        return true
      }),

    /** Resolves when no removal of a volume is under way. None begins while there is a hold. */
    removalOver: (name: string): Promise<void> => removals.take(name, async () => {}),
  }
}
