import { createHash, randomBytes } from 'node:crypto'
import { createAddressList } from '../../lib/address-list.ts'
import { type ErrorDetail, messageOf } from '../../lib/errors.ts'
import {
  DEFAULT_INGRESS,
  type IngressInput,
  type IngressSettings,
  MAINTENANCE_DEFAULTS,
  PATH_DEFAULTS,
  REALM,
  REDIRECT_DEFAULTS,
  type StoredUser,
} from './ingress-schema.ts'

/**
 * Puts what was sent over the present settings. `known` are users whose passwords need not be sent again. Adds to `problems` what is wrong,
 * each with its field.
 */
export function readIngress(
  base: IngressSettings,
  sent: IngressInput | null | undefined,
  known: readonly StoredUser[],
  problems: ErrorDetail[],
): IngressSettings {
  if (sent === undefined) return base
  if (sent === null) return DEFAULT_INGRESS
  const settings = overlay(base, sent, known, problems)
  const bytes = Buffer.byteLength(JSON.stringify(settings))
  if (bytes > MAX_RULES_BYTES)
    problems.push({
      field: 'ingress',
      message: `all rules together take ${bytes} bytes as JSON; ${MAX_RULES_BYTES} are allowed`,
    })
  return settings
}

/** Every ingress process has the rules of all services in memory, and is handed them whole at each change. */
const MAX_RULES_BYTES = 64 * 1024

function overlay(
  base: IngressSettings,
  sent: IngressInput,
  known: readonly StoredUser[],
  problems: ErrorDetail[],
): IngressSettings {
  for (const field of ['allow', 'deny'] as const) checkAddresses(field, sent[field] ?? [], problems)
  for (const field of ['request_headers', 'response_headers'] as const)
    checkHeaders(field, sent[field], problems)
  const { redirects, basic_auth: auth, paths, maintenance } = sent
  return {
    https_redirect: sent.https_redirect ?? base.https_redirect,
    canonical: sent.canonical === undefined ? base.canonical : sent.canonical,
    redirects:
      redirects?.map(({ path, exact = REDIRECT_DEFAULTS.exact, to, status = REDIRECT_DEFAULTS.status }) => ({
        path,
        exact,
        to,
        status,
      })) ?? base.redirects,
    basic_auth: auth === undefined ? base.basic_auth : auth && readUsers(auth, known, problems),
    request_headers: readHeaders(sent.request_headers, base.request_headers),
    response_headers: readHeaders(sent.response_headers, base.response_headers),
    paths:
      paths?.map(({ prefix, service, strip = PATH_DEFAULTS.strip }) => ({ prefix, service, strip })) ??
      base.paths,
    max_body_bytes: sent.max_body_bytes === undefined ? base.max_body_bytes : sent.max_body_bytes,
    allow: sent.allow ?? base.allow,
    deny: sent.deny ?? base.deny,
    maintenance:
      maintenance === undefined
        ? base.maintenance
        : maintenance && { ...MAINTENANCE_DEFAULTS, ...maintenance },
    sticky: sent.sticky ?? base.sticky,
  }
}

function readUsers(
  auth: NonNullable<IngressInput['basic_auth']>,
  known: readonly StoredUser[],
  problems: ErrorDetail[],
): IngressSettings['basic_auth'] {
  const users = auth.users.flatMap(({ username, password }, index) => {
    if (password !== undefined) {
      const salt = randomBytes(16).toString('hex')
      const sha256 = createHash('sha256').update(salt).update(password).digest('hex')
      return [{ username, salt, sha256 }]
    }
    const present = known.find((each) => each.username === username)
    if (!present)
      problems.push({
        field: `ingress.basic_auth.users.${index}.password`,
        message: 'is required for a new user',
      })
    return present ? [present] : []
  })
  return { realm: auth.realm ?? REALM, users }
}

function readHeaders(
  sent: IngressInput['request_headers'],
  base: IngressSettings['request_headers'],
): IngressSettings['request_headers'] {
  if (sent === undefined) return base
  return sent && { set: sent.set ?? {}, remove: sent.remove ?? [] }
}

function checkAddresses(field: string, entries: readonly string[], problems: ErrorDetail[]): void {
  for (const [index, entry] of entries.entries()) {
    try {
      createAddressList([entry])
    } catch (error) {
      problems.push({ field: `ingress.${field}.${index}`, message: messageOf(error) })
    }
  }
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/
/** Framing, hops and what the ingress itself says of a request: changed, they would let one request pass for another. */
const KEPT =
  /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|proxy-.*|x-forwarded-.*|x-real-ip|forwarded|x-request-id|:.*)$/i

function checkHeaders(field: string, sent: IngressInput['request_headers'], problems: ErrorDetail[]): void {
  const names = [
    ...Object.keys(sent?.set ?? {}).map(
      (name) => [`ingress.${field}.set.${name.slice(0, 64)}`, name] as const,
    ),
    ...(sent?.remove ?? []).map((name, index) => [`ingress.${field}.remove.${index}`, name] as const),
  ]
  for (const [where, name] of names) {
    if (!TOKEN.test(name)) problems.push({ field: where, message: 'is not the name of a header field' })
    else if (KEPT.test(name))
      problems.push({ field: where, message: 'is a field that the ingress itself is answerable for' })
  }
}
