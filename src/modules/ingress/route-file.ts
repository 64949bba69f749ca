import { chmod, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROUTES_FILE } from '../../ingress/control-protocol.ts'
import { EMPTY_TABLE, parseRouteTable, type RouteTable } from '../../ingress/route-table.ts'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'

/** Makes the ingress directory, for nobody but the owner. */
export async function ensureIngressDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)
}

/** The table that was written last. Undefined: there is a file, but it is not one; the caller publishes anew. */
export async function readRouteFile(directory: string): Promise<RouteTable | undefined> {
  try {
    return parseRouteTable(JSON.parse(await readFile(join(directory, ROUTES_FILE), 'utf8')))
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return EMPTY_TABLE
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** True while the file is there. */
export async function hasRouteFile(directory: string): Promise<boolean> {
  return (await readdir(directory)).includes(ROUTES_FILE)
}

/** Writes the table from which workers start when there is nobody to ask. */
export async function writeRouteFile(directory: string, table: RouteTable): Promise<void> {
  await writeDurableFile(join(directory, ROUTES_FILE), `${JSON.stringify(table)}\n`)
}
