import { readFileSync, writeFileSync } from 'node:fs'
import { SETTINGS } from '../../src/config.ts'

/** The page that carries the table, and what surrounds it there. */
export const PAGE = new URL('../../docs/configuration.md', import.meta.url).pathname
const BEGIN = '<!-- prettier-ignore-start -->'
const END = '<!-- prettier-ignore-end -->'

/** Defaults that depend on the machine or on who runs the daemon, in words. */
const DEFAULTS_IN_WORDS: Record<string, string> = {
  data_dir: '`/var/lib/berth` as root, else `~/.local/share/berth`',
  http_port: '`80` as root, else `8080`',
  https_port: '`443` as root, else `8443`',
  ingress_workers: 'one for each core',
  build_cpu_millis: '1000 for each core',
  node_name: 'the host name',
}

/** The settings of src/config.ts as a Markdown table. */
export function settingsTable(): string {
  const rows = Object.entries(SETTINGS).map(([key, setting]) => {
    const shown = setting.shown_default === 'none' ? 'none' : `\`${setting.shown_default}\``
    return `| \`${key}\` | ${DEFAULTS_IN_WORDS[key] ?? shown} | ${setting.description.replaceAll(/[<>|]/g, '\\$&')} |`
  })
  return ['| key | default | what it is |', '|---|---|---|', ...rows].join('\n')
}

/** The page with its table replaced by the present one. */
export function withSettingsTable(page: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`${PAGE} lacks "${BEGIN}" or "${END}"`)
  return `${page.slice(0, begin)}${BEGIN}\n\n${settingsTable()}\n\n${page.slice(end)}`
}

if (import.meta.main) writeFileSync(PAGE, withSettingsTable(readFileSync(PAGE, 'utf8')))
