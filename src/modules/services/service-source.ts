import type { ErrorDetail } from '../../lib/errors.ts'
import type { SourceInput } from './service-input-schema.ts'
import type { ServiceSource } from './service-schema.ts'

/** How one kind of source is read from what was sent. */
interface SourceKind {
  /** The fields that belong to it, besides its type. */
  fields: readonly (keyof SourceInput)[]
  /** Reads what was sent in full: a source is replaced as a whole. What is wrong is added to the problems. */
  read: (sent: SourceInput, problems: ErrorDetail[]) => ServiceSource
}

const KINDS: Partial<Record<SourceInput['type'], SourceKind>> = {
  upload: { fields: [], read: () => ({ type: 'upload' }) },
}

/** Whether this version knows the kind of source that was sent. */
export function isSupported(sent: SourceInput): boolean {
  return KINDS[sent.type] !== undefined
}

/** The source that was sent, or the one that there is when none was. What is wrong is added to the problems. */
export function readSource(
  base: ServiceSource,
  sent: SourceInput | undefined,
  problems: ErrorDetail[],
): ServiceSource {
  const kind = sent && KINDS[sent.type]
  if (!kind) return base
  const foreign = Object.keys(sent).filter(
    (field) => field !== 'type' && !kind.fields.some((own) => own === field),
  )
  for (const field of foreign)
    problems.push({ field: `source.${field}`, message: `does not belong to a source of type ${sent.type}` })
  return kind.read(sent, problems)
}
