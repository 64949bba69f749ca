import { mkdir, readdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../lib/errors.ts'

/** What one build may use. */
export interface BuildShare {
  memory_bytes: number
  cpu_millis: number
}

/**
 * The shares of the builds that run, as empty cgroups beside theirs. They are kept in the kernel because that is where they count: several
 * daemons of one engine see each other's, and those of a daemon that was killed are known by its process id.
 */
export interface BuildShares {
  add(share: BuildShare): Promise<string>
  remove(name: string): Promise<void>
  /** The sum over all that run; undefined when none does. */
  total(): Promise<BuildShare | undefined>
}

const NAME = /^berth-(\d+)-\d+-(\d+)-(\d+)$/

export function createBuildShares(folder: string): BuildShares {
  let made = 0

  return {
    add: async ({ memory_bytes, cpu_millis }) => {
      made += 1
      const name = `berth-${process.pid}-${made}-${memory_bytes}-${cpu_millis}`
      await mkdir(join(folder, name), { recursive: true })
      return name
    },
    remove: (name) => removeFolder(join(folder, name)),
    total: async () => {
      let total: BuildShare | undefined
      for (const name of await readdir(folder)) {
        const [, pid, memory, cpu] = NAME.exec(name) ?? []
        if (pid === undefined) continue
        if (isAlive(Number(pid))) {
          total = {
            memory_bytes: (total?.memory_bytes ?? 0) + Number(memory),
            cpu_millis: (total?.cpu_millis ?? 0) + Number(cpu),
          }
        } else {
          await removeFolder(join(folder, name))
        }
      }
      return total
    },
  }
}

async function removeFolder(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    // Another daemon may have cleaned up first.
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCodeOf(error) === 'EPERM'
  }
}
