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
  external_image: { fields: ['image', 'registry_id', 'image_ref', 'auto_deploy'], read: readImageSource },
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

/** Whether the image can be had is for the operations to say. */
function readImageSource(sent: SourceInput, problems: ErrorDetail[]): ServiceSource {
  const { image, registry_id, image_ref, auto_deploy = false } = sent
  const problem = (field: string, message: string): void =>
    void problems.push({ field: `source.${field}`, message })
  if (registry_id === undefined) {
    if (image === undefined) problem('image', 'is required')
    if (image_ref !== undefined) problem('image_ref', 'needs a registry_id; a whole name goes into image')
    return { type: 'external_image', image: image ?? '', auto_deploy }
  }
  if (image !== undefined) problem('image', 'cannot be said together with a registry_id; use image_ref')
  if (image_ref === undefined) problem('image_ref', 'is required with a registry_id')
  return { type: 'external_image', registry_id, image_ref: image_ref ?? '', auto_deploy }
}
