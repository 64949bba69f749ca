import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { readRange } from './address-rule.ts'

/** One setting: how to read a raw value (from TOML, or text from the environment), its default, and what it is for. */
export interface Setting<T> {
  /** Throws an Error that says what the value must be. `undefined` gives the default. */
  read(raw: unknown): T
  readonly description: string
  /** The default as text for the documentation. */
  readonly shown_default: string
}

function setting<T>(
  fallback: T,
  description: string,
  parse: (raw: unknown) => T,
  shown?: string,
): Setting<T> {
  return {
    read: (raw) => (raw === undefined ? fallback : parse(raw)),
    description,
    shown_default: shown ?? (fallback === undefined ? 'none' : String(fallback)),
  }
}

function asText(raw: unknown, maxLength: number): string {
  if (typeof raw !== 'string') throw new Error('must be text')
  if (raw.length === 0 || raw.length > maxLength) throw new Error(`must have 1 to ${maxLength} characters`)
  if (/\p{Cc}/u.test(raw)) throw new Error('must not hold control characters')
  return raw
}

/** A file system path; made absolute. */
export function path(fallback: string, description: string): Setting<string> {
  return setting(fallback, description, (raw) => resolve(asText(raw, 4096)))
}

export interface Address {
  host: string
  port: number
}

/** `host:port`, `[v6]:port` or a bare port on loopback. */
export function address(fallback: string, description: string): Setting<Address> {
  return setting(parseAddress(fallback), description, (raw) => parseAddress(String(raw)), fallback)
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]:|([^:]+):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw new Error(`must be host:port, such as 127.0.0.1:7180, not "${text}"`)
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port }
}

/** An IP address to listen on. */
export function host(fallback: string, description: string): Setting<string> {
  return setting(fallback, description, (raw) => {
    const text = asText(raw, 64)
    if (isIP(text) === 0) throw new Error(`must be an IP address, not "${text}"`)
    return text
  })
}

/** A whole number within bounds. */
export function integer(fallback: number, least: number, most: number, description: string): Setting<number> {
  return setting(fallback, description, (raw) => {
    const value = typeof raw === 'string' && /^-?\d+$/.test(raw.trim()) ? Number(raw) : raw
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
      throw new Error(`must be a whole number from ${least} to ${most}, not ${JSON.stringify(raw)}`)
    }
    return value
  })
}

/** true or false. */
export function boolean(fallback: boolean, description: string): Setting<boolean> {
  return setting(fallback, description, (raw) => {
    if (raw === true || raw === 'true') return true
    if (raw === false || raw === 'false') return false
    throw new Error(`must be true or false, not ${JSON.stringify(raw)}`)
  })
}

const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** A number of bytes: whole, or with K, M, G, T (powers of 1024; `MiB` and `MB` are read alike). */
export function bytes(fallback: number, least: number, most: number, description: string): Setting<number> {
  return setting(
    fallback,
    description,
    (raw) => {
      const match = /^(\d+)\s*([KMGT]?)(?:i?B)?$/i.exec(String(raw).trim())
      const value = Number(match?.[1]) * (UNITS[(match?.[2] ?? '').toUpperCase()] ?? 1)
      if (!match || !Number.isSafeInteger(value) || value < least || value > most) {
        throw new Error(
          `must be a size from ${showBytes(least)} to ${showBytes(most)}, such as 512M, not ${JSON.stringify(raw)}`,
        )
      }
      return value
    },
    showBytes(fallback),
  )
}

function showBytes(value: number): string {
  for (const unit of ['T', 'G', 'M', 'K'] as const) {
    const size = UNITS[unit] ?? 1
    if (value >= size && value % size === 0) return `${value / size}${unit}`
  }
  return String(value)
}

/** A secret; its value is never part of an error. */
export function secret(description: string, least: number, most: number): Setting<string | undefined> {
  return setting<string | undefined>(undefined, description, (raw) => {
    if (typeof raw !== 'string' || !/^[\x21-\x7e]+$/.test(raw) || raw.length < least || raw.length > most) {
      throw new Error(`must have ${least} to ${most} printable ASCII characters without spaces`)
    }
    return raw
  })
}

/** Free text on one line. */
export function text(description: string, maxLength: number): Setting<string | undefined>
export function text(description: string, maxLength: number, fallback: string): Setting<string>
export function text(description: string, maxLength: number, fallback?: string): Setting<string | undefined> {
  return setting(fallback, description, (raw) => asText(raw, maxLength))
}

/** A DNS host name (RFC 1123), lower-cased. */
export function hostname(description: string): Setting<string | undefined> {
  return setting<string | undefined>(undefined, description, (raw) => {
    const name = asText(raw, 253).toLowerCase()
    if (!/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
      throw new Error(`must be a host name such as berth.example.com, not "${name}"`)
    }
    return name
  })
}

/** An absolute https (or, for tests, http) URL. */
export function url(fallback: string, description: string): Setting<string> {
  return setting(fallback, description, (raw) => {
    const given = asText(raw, 2048)
    if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol))
      throw new Error(`must be an http(s) URL, not "${given}"`)
    return given
  })
}

/** One of a closed set. */
export function choice<const T extends string>(
  fallback: T,
  values: readonly T[],
  description: string,
): Setting<T> {
  return setting<T>(fallback, description, (raw) => {
    const found = values.find((value) => value === raw)
    if (found === undefined)
      throw new Error(`must be one of ${values.join(', ')}, not ${JSON.stringify(raw)}`)
    return found
  })
}

/** A TOML array of texts, or texts separated by commas. At most 256. */
export function list(description: string): Setting<readonly string[]> {
  return setting<readonly string[]>(
    [],
    description,
    (raw) => {
      const items: unknown[] = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.split(',') : [raw]
      if (items.length > 256) throw new Error('must have at most 256 items')
      return items.map((item) => asText(typeof item === 'string' ? item.trim() : item, 255))
    },
    'none',
  )
}

/** Texts of one form, as `list` takes them. */
export function listOf(form: RegExp, what: string, description: string): Setting<readonly string[]> {
  const texts = list(description)
  return {
    ...texts,
    read: (raw) => {
      const items = texts.read(raw)
      const wrong = items.find((item) => !form.test(item))
      if (wrong !== undefined) throw new Error(`must list ${what}, not "${wrong}"`)
      return items
    },
  }
}

/** Addresses and ranges of addresses, as `list` takes them. */
export function ranges(description: string): Setting<readonly string[]> {
  const texts = list(description)
  return {
    ...texts,
    read: (raw) => {
      const items = texts.read(raw)
      for (const item of items) readRange(item)
      return items
    },
  }
}

/** An IPv4 range of at least a /24. */
export function cidr(fallback: string, description: string): Setting<string> {
  return setting(fallback, description, (raw) => {
    const given = asText(raw, 18)
    const [base, length] = given.split('/')
    if (
      isIP(base ?? '') !== 4 ||
      !/^\d{1,2}$/.test(length ?? '') ||
      Number(length) < 8 ||
      Number(length) > 24
    ) {
      throw new Error(`must be an IPv4 range such as 10.213.0.0/16 (/8 to /24), not "${given}"`)
    }
    return given
  })
}
