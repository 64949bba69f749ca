import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { messageOf } from './errors.ts'

/** A setting that is wrong; the message names the key and says what to change. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConfigError'
  }
}

/** The raw values of a TOML file. Throws ConfigError. */
export function readConfigFile(file: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(resolve(file), 'utf8')
  } catch (error) {
    throw new ConfigError(`BERTH_CONFIG_FILE: cannot read ${file}: ${messageOf(error)}`)
  }
  try {
    return parseToml(text)
  } catch (error) {
    throw new ConfigError(`${file} is not valid TOML: ${messageOf(error)}`)
  }
}

/** Two settings that say nothing without each other. Throws ConfigError when only one is there. */
export function requireBoth(values: Readonly<Record<string, unknown>>, one: string, other: string): void {
  if ((values[one] === undefined) === (values[other] === undefined)) return
  const [present, missing] = values[one] === undefined ? [other, one] : [one, other]
  throw new ConfigError(`${present} is set and ${missing} is not: neither means anything without the other.`)
}
