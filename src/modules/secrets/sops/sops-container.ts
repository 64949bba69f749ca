import { parseDocument } from 'yaml'

export const SOPS_FORMATS = ['env', 'json', 'yaml'] as const
/** How a file of variables is written: lines of `NAME=value`, JSON or YAML. */
export type SopsFormat = (typeof SOPS_FORMATS)[number]

/** Why a file of variables cannot be used; the message is for people and holds no value of it. */
export class SopsFileRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SopsFileRefused'
  }
}

/** What SOPS says of a file. */
export interface SopsMetadata {
  lastmodified: string
  mac: string
  age: { recipient: string; enc: string }[]
}

export interface SopsContainer {
  /** In the order of the file, as they stand there. */
  leaves: [name: string, value: string | number | boolean][]
  metadata: SopsMetadata
}

/** The format that the name of a file promises: JSON and YAML by their endings, lines of `NAME=value` else. */
export function formatOf(path: string): SopsFormat {
  if (/\.json$/i.test(path)) return 'json'
  return /\.ya?ml$/i.test(path) ? 'yaml' : 'env'
}

/** Reads a flat file that SOPS encrypted, without opening anything. Throws SopsFileRefused. */
export function readContainer(text: string, format: SopsFormat): SopsContainer {
  if (format === 'env') return readLines(text)
  const parsed = format === 'json' ? parseJson(text) : parseYaml(text)
  if (!isRecord(parsed)) throw new SopsFileRefused('it holds no names with values')
  const { sops, ...rest } = parsed
  if (sops === undefined) throw notEncrypted()
  if (!isRecord(sops)) throw new SopsFileRefused('what SOPS says of it is damaged')
  const leaves = Object.entries(rest).map(([name, value]): SopsContainer['leaves'][number] => {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      return [name, value]
    throw new SopsFileRefused(`${name} is no plain value: variables are text, numbers, true or false`)
  })
  return { leaves, metadata: readMetadata(sops) }
}

function notEncrypted(): SopsFileRefused {
  return new SopsFileRefused('it is not encrypted with SOPS')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new SopsFileRefused('it is not valid JSON', { cause: error })
  }
}

function parseYaml(text: string): unknown {
  try {
    const document = parseDocument(text, { schema: 'core', uniqueKeys: true, logLevel: 'silent' })
    if (document.errors.length > 0) throw document.errors[0]
    // References could unfold to any size.
    return document.toJS({ maxAliasCount: 0 })
  } catch (error) {
    throw new SopsFileRefused('it is not valid YAML, or uses references', { cause: error })
  }
}

function readMetadata(sops: Record<string, unknown>): SopsMetadata {
  if (sops['key_groups'] !== undefined || sops['shamir_threshold'] !== undefined)
    throw new SopsFileRefused('its key is split in groups, which is not supported')
  // Values in the clear would then be covered by nothing.
  if (sops['mac_only_encrypted'] === true || sops['mac_only_encrypted'] === 'true')
    throw new SopsFileRefused(
      'its authentication code covers only what is encrypted; encrypt it without that',
    )
  const { lastmodified, mac, age } = sops
  const stanzas: unknown[] = Array.isArray(age) ? age : []
  const isWhole = stanzas.every(isStanza)
  if (typeof lastmodified !== 'string' || typeof mac !== 'string' || !isWhole)
    throw new SopsFileRefused('what SOPS says of it is damaged')
  if (stanzas.length === 0) throw new SopsFileRefused('it is not encrypted for any age key')
  return { lastmodified, mac, age: stanzas }
}

function isStanza(value: unknown): value is { recipient: string; enc: string } {
  return isRecord(value) && typeof value['recipient'] === 'string' && typeof value['enc'] === 'string'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** SOPS writes a line for each value; its own are flattened: `sops_age__list_0__map_enc`. */
function readLines(text: string): SopsContainer {
  const leaves: SopsContainer['leaves'] = []
  const sops: Record<string, unknown> = {}
  const age: Record<string, string>[] = []
  for (const line of text.split('\n').map((each) => each.replace(/\r$/, ''))) {
    if (line === '' || line.startsWith('#')) continue
    const equals = line.indexOf('=')
    if (equals <= 0) throw new SopsFileRefused('a line of it is neither NAME=value nor a comment')
    const name = line.slice(0, equals)
    const value = line.slice(equals + 1).replaceAll(String.raw`\n`, '\n')
    const stanza = /^sops_age__list_(\d{1,3})__map_(enc|recipient)$/.exec(name)
    if (stanza) age[Number(stanza[1])] = { ...age[Number(stanza[1])], [stanza[2] ?? '']: value }
    else if (name.startsWith('sops_')) sops[name.slice('sops_'.length)] = value
    else leaves.push([name, value])
  }
  if (sops['mac'] === undefined && age.length === 0) throw notEncrypted()
  if (leaves.length !== new Set(leaves.map(([name]) => name)).size)
    throw new SopsFileRefused('a name stands in it twice')
  return { leaves, metadata: readMetadata({ ...sops, age: age.filter(Boolean) }) }
}
