import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const ROOT = new URL('../../', import.meta.url)

/** What the start command gives Node (ADR 7), so that figures are the daemon's: arguments before the file, and variables. */
export const START_SETTINGS = readStartSettings()

function readStartSettings(): { execArgv: string[]; env: Record<string, string> } {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
    scripts: { start: string }
  }
  const [before = '', after = ''] = scripts.start.split(/ node (?=.*src\/main\.ts)/)
  const env = Object.fromEntries(
    [...before.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
  )
  const cache = env['NODE_COMPILE_CACHE']
  if (cache === undefined) throw new Error('the start command has no cache of compiled code')
  return {
    execArgv: after.split(' ').filter((word) => word.startsWith('--')),
    env: { ...env, NODE_COMPILE_CACHE: fileURLToPath(new URL(cache, ROOT)) },
  }
}
