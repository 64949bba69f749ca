import { AppError } from './errors.ts'

/** A row that counts its changes. */
export interface Revised {
  readonly id: string
  readonly revision: number
}

/** The strong entity tag (RFC 9110, section 8.8.3) of a revised row; http/etag.ts sends it for every answer that carries a `revision`. */
export function entityTagOf(row: Revised): string {
  return `"${row.id.slice(-12)}-${row.revision}"`
}

/**
 * Throws PRECONDITION_FAILED when the request named entity tags in `If-Match` and none is the row's. Call it inside the transaction
 * that writes, after the row was loaded there.
 */
export function requireUnchanged(context: { readonly if_match?: readonly string[] }, row: Revised): void {
  if (context.if_match === undefined || context.if_match.includes('*')) return
  if (!context.if_match.includes(entityTagOf(row))) throw new AppError('PRECONDITION_FAILED')
}
