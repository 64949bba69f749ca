import type { System } from './system.ts'

/** Slows down those who come back at once after a refusal, so that a flood of them costs little. */
export interface Tarpit {
  /** Waits for one to one and a half seconds; not at all when too many wait already. */
  hold(): Promise<void>
}

const SHORTEST_MS = 1000
const SPREAD_MS = 500
const MOST_HELD = 1000

export function createTarpit(system: System): Tarpit {
  let held = 0
  return {
    hold: async () => {
      if (held >= MOST_HELD) return
      held += 1
      try {
        // Spread, so that those who came together do not come back together.
        await system.sleep(SHORTEST_MS + (SPREAD_MS * system.randomBytes(1).readUInt8()) / 255)
      } finally {
        held -= 1
      }
    },
  }
}
