import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { AppError } from '../../lib/errors.ts'
import { isWildcard } from './domain-schema.ts'

/** Letters, digits, hyphens (RFC 1123, section 2.1); at least two labels. */
const HOSTNAME = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** Code points that a URL's host may not hold (RFC 3986 delimiters), before anything else is made of them. */
const FOREIGN = /[\s/\\?#@:%[\]<>^|\p{Cc}]/u

/**
 * Brings a hostname into its one form: lower case, no trailing dot, international labels in ASCII (RFC 5891), `*.` kept. Throws
 * VALIDATION_ERROR for what is none, and POLICY_REFUSED for names that are not to be claimed.
 */
export function readHostname(
  given: string,
  options: { controlDomain: string | undefined; field?: string },
): string {
  const field = options.field ?? 'hostname'
  const wildcard = isWildcard(given)
  const bare = wildcard ? given.slice(2) : given
  const ascii = FOREIGN.test(bare) || /^\.|\.\.|^$/.test(bare) ? '' : domainToASCII(bare)
  const name = ascii.toLowerCase().replace(/\.$/, '')
  const problem = problemOf(name, wildcard)
  if (problem !== undefined)
    throw new AppError('VALIDATION_ERROR', { details: [{ field, message: problem }] })
  const hostname = wildcard ? `*.${name}` : name
  const reserved = reservedAs(hostname, name, wildcard, options.controlDomain)
  if (reserved !== undefined)
    throw new AppError('POLICY_REFUSED', { details: [{ field, message: reserved }] })
  return hostname
}

function problemOf(name: string, wildcard: boolean): string | undefined {
  // The last label of a name is never a number (RFC 3696, section 2); URL parsers take such names for addresses.
  if (isIP(name) !== 0 || /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name)) return 'must be a name, not an address'
  // A wildcard needs room for the label that it stands for.
  if (HOSTNAME.test(name) && (!wildcard || name.length <= 251)) return undefined
  return 'must be a host name such as shop.example.com or *.example.com: labels of letters, digits and inner hyphens, at most 63 characters each and 253 in all'
}

function reservedAs(
  hostname: string,
  name: string,
  wildcard: boolean,
  control: string | undefined,
): string | undefined {
  if (name.endsWith('.localhost'))
    return 'is reserved: names under .localhost are given to services by themselves'
  if (control === undefined) return undefined
  if (name === control || name.endsWith(`.${control}`))
    return `is reserved: ${control} is the control domain of this node`
  const covers = wildcard && control.endsWith(`.${name}`) && !control.slice(0, -name.length - 1).includes('.')
  return covers ? `is reserved: ${hostname} would cover the control domain of this node` : undefined
}
