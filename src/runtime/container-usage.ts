import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../lib/errors.ts'
import type { ContainerUsage } from './runtime.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Where the engine puts a container below a hierarchy: with the driver cgroupfs, and with systemd. */
const FOLDERS: readonly ((id: string) => string)[] = [
  (id) => `docker/${id}`,
  (id) => `system.slice/docker-${id}.scope`,
]

/**
 * Reads what a container uses from its control group: 2 ms, where the engine's own statistics take a second. Undefined when it does not run,
 * or its engine keeps its containers elsewhere.
 */
export async function readContainerUsage(
  containerId: string,
  root = CGROUP_ROOT,
): Promise<ContainerUsage | undefined> {
  for (const folderOf of FOLDERS) {
    const folder = folderOf(containerId)
    const usage = (await readUnified(join(root, folder))) ?? (await readLegacy(root, folder))
    if (usage) return usage
  }
  return undefined
}

/** cgroup v2: one tree. */
async function readUnified(folder: string): Promise<ContainerUsage | undefined> {
  const [cpu, memory, stat] = await readAll([
    join(folder, 'cpu.stat'),
    join(folder, 'memory.current'),
    join(folder, 'memory.stat'),
  ])
  if (cpu === undefined || memory === undefined || stat === undefined) return undefined
  return {
    cpu_us: fieldOf(cpu, 'usage_usec'),
    memory_bytes: inUse(Number(memory), fieldOf(stat, 'inactive_file')),
  }
}

/** cgroup v1: a tree for each controller. */
async function readLegacy(root: string, folder: string): Promise<ContainerUsage | undefined> {
  const [cpu, memory, stat] = await readAll([
    join(root, 'cpuacct', folder, 'cpuacct.usage'),
    join(root, 'memory', folder, 'memory.usage_in_bytes'),
    join(root, 'memory', folder, 'memory.stat'),
  ])
  if (cpu === undefined || memory === undefined || stat === undefined) return undefined
  return {
    cpu_us: Math.round(Number(cpu) / 1000),
    memory_bytes: inUse(Number(memory), fieldOf(stat, 'total_inactive_file')),
  }
}

/** What the kernel would give back at once is not in use. */
function inUse(total: number, reclaimable: number): number {
  return Math.max(0, total - reclaimable)
}

function fieldOf(text: string, name: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? 0)
}

function readAll(paths: readonly string[]): Promise<(string | undefined)[]> {
  return Promise.all(
    paths.map(async (path) => {
      try {
        return await readFile(path, 'utf8')
      } catch (error) {
        // ENODEV: it ended between opening and reading.
        if (['ENOENT', 'ENOTDIR', 'ENODEV'].includes(systemCodeOf(error) ?? '')) return undefined
        throw error
      }
    }),
  )
}
