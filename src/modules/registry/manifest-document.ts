import { AppError } from '../../lib/errors.ts'
import { digestOf } from './digest.ts'
import { algorithmOf, isDigest } from './registry-path.ts'

/** A reference from a manifest to what it needs. */
export interface Edge {
  digest: string
  kind: 'blob' | 'manifest'
  size_bytes: number
}

/** What the registry has to know of a manifest (OCI image specification 1.1; Docker image manifest version 2, schema 2). */
export interface ManifestDocument {
  media_type: string
  subject: string | null
  artifact_type: string | null
  annotations: string | null
  edges: Edge[]
  /** Digests of blobs that must be there. */
  required: string[]
  /** Small blobs that the manifest carries itself. */
  inline: { digest: string; content: Buffer }[]
}

export const MEDIA_TYPES = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  artifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const

const IMAGES: ReadonlySet<string> = new Set([MEDIA_TYPES.image, MEDIA_TYPES.dockerImage])
const INDEXES: ReadonlySet<string> = new Set([MEDIA_TYPES.index, MEDIA_TYPES.dockerList])
/** A transaction writes a row for each. */
const MAX_REFERENCES = 4096

interface Descriptor {
  mediaType: string
  digest: string
  size: number
  urls?: unknown
  data?: unknown
}

/** Reads a pushed manifest. Throws MANIFEST_INVALID, which says where it is wrong. */
export function parseManifest(bytes: Buffer, contentType: string | undefined): ManifestDocument {
  const document = parseJson(bytes)
  const mediaType = mediaTypeOf(document, contentType)
  if (document['schemaVersion'] !== 2 && mediaType !== MEDIA_TYPES.artifact)
    invalid('schemaVersion must be 2')
  const subject =
    document['subject'] === undefined ? undefined : readDescriptor(document['subject'], 'subject')
  const content = readContent(document, mediaType)
  return {
    media_type: mediaType,
    subject: subject?.digest ?? null,
    artifact_type: artifactTypeOf(document, mediaType),
    annotations: readAnnotations(document['annotations']),
    ...content,
  }
}

function parseJson(bytes: Buffer): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new AppError('MANIFEST_INVALID', { message: 'The manifest is not valid JSON.', cause: error })
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) invalid('must be an object')
  return parsed as Record<string, unknown>
}

function mediaTypeOf(document: Record<string, unknown>, contentType: string | undefined): string {
  const sent = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  const { mediaType } = document
  if (mediaType !== undefined && typeof mediaType !== 'string') invalid('mediaType must be text')
  if (sent && mediaType !== undefined && sent !== mediaType.toLowerCase())
    invalid(`mediaType is ${mediaType}, but the content type is ${sent}`)
  const found = sent || mediaType
  const known: readonly string[] = Object.values(MEDIA_TYPES)
  if (found === undefined || !known.includes(found))
    invalid(`media type ${found ?? '(none)'} is not supported`)
  return found
}

function readContent(
  document: Record<string, unknown>,
  mediaType: string,
): Pick<ManifestDocument, 'edges' | 'required' | 'inline'> {
  if (INDEXES.has(mediaType)) {
    const children = readList(document['manifests'], 'manifests')
    return { edges: children.map((each) => edge(each, 'manifest')), required: [], inline: [] }
  }
  const blobs = IMAGES.has(mediaType)
    ? [readDescriptor(document['config'], 'config'), ...readList(document['layers'], 'layers')]
    : readList(document['blobs'] ?? [], 'blobs')
  const inline = blobs.flatMap((each) => readData(each))
  const carried = new Set(inline.map(({ digest }) => digest))
  return {
    edges: blobs.map((each) => edge(each, 'blob')),
    required: [
      ...new Set(
        blobs.filter((each) => !isForeign(each) && !carried.has(each.digest)).map(({ digest }) => digest),
      ),
    ],
    inline,
  }
}

function edge({ digest, size }: Descriptor, kind: Edge['kind']): Edge {
  return { digest, kind, size_bytes: size }
}

/** Layers that are fetched from elsewhere and may never have been pushed here. */
function isForeign({ mediaType }: Descriptor): boolean {
  return /\.nondistributable\.|\.foreign\./.test(mediaType)
}

function readList(value: unknown, field: string): Descriptor[] {
  if (!Array.isArray(value)) invalid(`${field} must be a list`)
  if (value.length > MAX_REFERENCES) invalid(`${field} has more than ${MAX_REFERENCES} entries`)
  return value.map((each, index) => readDescriptor(each, `${field}[${index}]`))
}

function readDescriptor(value: unknown, field: string): Descriptor {
  if (typeof value !== 'object' || value === null) invalid(`${field} must be a descriptor`)
  const { mediaType, digest, size } = value as Record<string, unknown>
  if (typeof mediaType !== 'string' || mediaType === '') invalid(`${field}.mediaType must be text`)
  if (typeof digest !== 'string' || !isDigest(digest)) invalid(`${field}.digest is not a digest`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    invalid(`${field}.size must be a whole number`)
  return value as Descriptor
}

const MAX_INLINE_BYTES = 64 * 1024

function readData(descriptor: Descriptor): { digest: string; content: Buffer }[] {
  const { data, digest, size } = descriptor
  if (data === undefined) return []
  if (typeof data !== 'string') invalid(`data of ${digest} must be base64`)
  const content = Buffer.from(data, 'base64')
  if (content.length !== size || digestOf(algorithmOf(digest), content) !== digest)
    invalid(`data of ${digest} is other content than the digest names`)
  return size <= MAX_INLINE_BYTES ? [{ digest, content }] : []
}

/** What a referrer's descriptor says (distribution specification, "Listing Referrers"). */
function artifactTypeOf(document: Record<string, unknown>, mediaType: string): string | null {
  const { artifactType, config } = document
  if (artifactType !== undefined && typeof artifactType !== 'string') invalid('artifactType must be text')
  if (artifactType) return artifactType
  return IMAGES.has(mediaType) ? (config as Descriptor).mediaType : null
}

function readAnnotations(value: unknown): string | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'object' || Array.isArray(value)) invalid('annotations must be an object of texts')
  if (Object.values(value).some((each) => typeof each !== 'string')) invalid('annotations must be texts')
  return JSON.stringify(value)
}

function invalid(message: string): never {
  throw new AppError('MANIFEST_INVALID', { message: `The manifest is not valid: ${message}.` })
}
