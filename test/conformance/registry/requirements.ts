/** What the distribution specification asks of a registry, in our words, and the cases that hold it against that. */
export interface Requirement {
  /** The section of the specification 1.1. */
  section: string
  level: 'must' | 'should'
  says: string
  /** Titles of cases; empty: the sentence is about what Berth does not do, and `why` says so. */
  cases: readonly string[]
  why?: string
}

const MANIFEST = 'a manifest by tag and digest, GET and HEAD alike, whatever Accept says'
const NO_MANIFEST = 'an unknown manifest is 404, by tag, by digest, and by what is neither'
const BLOB = 'a blob, GET and HEAD, small and large'
const PUSHED = 'a manifest by tag: 201, Location, the exact bytes back'
const IN_ORDER = 'chunks in order, each answered with Location and Range'
const PAGES = 'n and last page through the tags'
const LINKS = 'n=0 gives an empty list, and Link leads through all pages'
const REFERRERS = 'referrers of a manifest, with artifact type and annotations'
const NO_REFERRERS = 'referrers of what nobody refers to is an empty index'
const INDEX_REFERS = 'an index refers too, without an artifact type when it has none, with its annotations'
const FALLBACK = 'referrers that an older client left under the fallback tag are listed too'
const BY_TYPE = 'referrers filtered by artifact type say so'
const POST_PUT = [0, 1, 65_536, 3_000_001].map((size) => `a blob of ${size} bytes by POST and PUT`)
const ONE_POST = [0, 1, 65_536, 3_000_001].map((size) => `a blob of ${size} bytes by one POST`)
const FAILURES = 'failures have the shape of the specification'

type Row = [level: 'must' | 'should', says: string, ...cases: string[]]

const pulling: Row[] = [
  [
    'must',
    'a name keeps to the grammar',
    'a name that is none is NAME_INVALID',
    'a name may hold the words of the API',
  ],
  ['must', 'a reference is a digest or a tag, nothing else', NO_MANIFEST],
  [
    'must',
    'a tag has at most 128 characters of its grammar',
    'a tag of 128 characters of every kind',
    'a tag that is none is 400',
  ],
  [
    'should',
    'the content type of a manifest is what was pushed, without parameters',
    'a manifest comes with the content type that it was pushed with, without parameters',
    PUSHED,
  ],
  ['must', 'GET of a manifest: 200 and what was asked for', MANIFEST],
  ['should', 'with its digest in Docker-Content-Digest', MANIFEST],
  ['must', 'GET of an unknown manifest: 404', NO_MANIFEST],
  ['must', 'GET of a blob: 200 and what was asked for', BLOB],
  ['must', 'Docker-Content-Digest of a blob, if sent, is that of the body', BLOB],
  ['must', 'GET of an unknown blob: 404', 'an unknown blob is 404, one that cannot be 400'],
  ['should', 'Range of a blob', 'ranges of a blob'],
  ['must', 'HEAD of what exists: 200', MANIFEST, BLOB],
  ['should', 'HEAD tells digest and length', MANIFEST, BLOB],
  ['must', 'HEAD of what does not exist: 404', NO_MANIFEST, 'an unknown blob is 404, one that cannot be 400'],
]

const blobs: Row[] = [
  ['must', 'POST begins an upload: 202 with Location', ...POST_PUT],
  [
    'must',
    'each upload has a unique id in its Location',
    'every upload has an address of its own, with a UUID in it',
  ],
  ['must', 'PUT with the whole blob: 201 with the Location of the blob', ...POST_PUT],
  ['must', 'one POST with the whole blob, where it is supported: 201 with Location', ...ONE_POST],
  [
    'must',
    'the digest is that of the blob',
    'a wrong digest is refused whichever way the blob comes',
    'a wrong digest is refused in a single POST',
    'a PUT without a digest, or with one that is none, is 400',
  ],
  ['must', 'a chunk: 202 with Location and Range', IN_ORDER],
  ['must', 'the first chunk begins with 0', 'a first chunk that does not begin at 0 is 416'],
  [
    'must',
    'Content-Range keeps to its grammar',
    'a Content-Range that is none is refused, and nothing of its chunk is kept',
    'a range that is longer than its chunk is refused',
  ],
  [
    'must',
    'a chunk out of order: 416',
    'a chunk out of order is 416, and the upload goes on unchanged',
    'a closing chunk out of order is 416',
  ],
  [
    'must',
    'PUT closes the session, with or without a last chunk: 201 with Location',
    'the last chunk with the PUT',
    IN_ORDER,
    ...POST_PUT,
  ],
  [
    'must',
    'GET of a session: 204 with Location and Range',
    'GET of an upload answers 204 with Location and Range',
  ],
  ['must', 'a mount: 201 with Location', 'a mount from another repository is 201 with Location'],
  ['should', 'what cannot be mounted: 202 and a session', 'a mount of what is not there begins an upload'],
]

const manifests: Row[] = [
  [
    'must',
    'a manifest whose subject is absent is accepted',
    'a subject is answered with OCI-Subject, also one that is missing',
  ],
  [
    'must',
    'a refusal for absent blobs says MANIFEST_BLOB_UNKNOWN',
    'missing blobs are MANIFEST_BLOB_UNKNOWN',
  ],
  [
    'should',
    'parameters of the content type are ignored',
    'mediaType and content type must agree, parameters aside',
  ],
  [
    'must',
    'the list of blobs may be empty',
    'artifacts: an artifact type, the empty config, no layers, unknown fields, inline data',
  ],
  ['must', 'the bytes are stored as they came', PUSHED],
  ['must', '201 with a Location that can be pulled', PUSHED],
  [
    'must',
    'the answered digest is the one that the client gave',
    'a manifest by digest, which must match',
    'a sha512 manifest of sha512 blobs, with tags',
    'a manifest under a digest that is none is refused',
  ],
  [
    'must',
    'a pull from an unknown repository: 404',
    'what is pulled from a repository that does not exist is 404',
  ],
  ['should', 'there is a limit of size, beyond it 413', 'a manifest beyond the limit is 413'],
  ['should', '4 megabytes fit', 'a manifest of 4 MiB is taken'],
  [
    'must',
    'OCI-Subject answers a manifest with a subject',
    'a subject is answered with OCI-Subject, also one that is missing',
  ],
]

const discovery: Row[] = [
  [
    'must',
    'the tags of a repository: 200, in lexical order, in the given shape',
    'tags in the order of their bytes',
  ],
  ['must', 'n tags, or fewer when there are no more', PAGES],
  ['must', 'Link, if sent, has the relation next', LINKS],
  ['must', 'n=0: an empty list without Link', LINKS],
  ['must', 'what follows `last`, in order', PAGES],
  ['must', 'referrers: 200, never 404', REFERRERS, NO_REFERRERS],
  ['must', 'of a digest that is none: 400', 'referrers of what is no digest is 400'],
  ['must', 'an index, under its content type', REFERRERS],
  ['must', 'artifactType, else that of the config, of an index else none', REFERRERS, INDEX_REFERS],
  ['must', 'annotations', REFERRERS, INDEX_REFERS],
  ['must', 'none: an empty list', NO_REFERRERS, 'a deleted manifest is no referrer any more'],
  ['must', 'Link when there are more', 'referrers are paged by Link'],
  ['should', 'a filter by artifactType', BY_TYPE],
  ['must', 'OCI-Filters-Applied says that it was applied', BY_TYPE],
  ['must', 'what the fallback tag lists is listed', FALLBACK],
  ['must', 'what was pushed with a subject is listed', FALLBACK, REFERRERS],
]

const management: Row[] = [
  ['must', 'DELETE of a tag: 202, then 404', 'DELETE of a tag removes the tag only'],
  [
    'must',
    'DELETE of a manifest: 202, then 404, its tags too',
    'DELETE of a manifest removes it and its tags at once',
  ],
  [
    'must',
    'DELETE in an unknown repository: 404',
    'DELETE in a repository that does not exist is 404, of what is no digest 400 or 404',
  ],
  ['must', 'DELETE of a blob: 202, of an unknown one 404', 'DELETE of a blob, and of an unknown one'],
]

const errors: Row[] = [
  ['must', 'failures in JSON have the given shape', FAILURES],
  ['must', 'and one of the given codes', FAILURES, 'what is no manifest is MANIFEST_INVALID'],
]

const rows = (section: string, table: readonly Row[]): Requirement[] =>
  table.map(([level, says, ...cases]) => ({ section, level, says, cases }))

export const REQUIREMENTS: readonly Requirement[] = [
  ...rows('Pull', pulling),
  ...rows('Pushing blobs', blobs),
  {
    section: 'Pushing blobs',
    level: 'should',
    says: 'a registry without single POST answers it with 202',
    cases: [],
    why: 'Berth has it',
  },
  {
    section: 'Pushing blobs',
    level: 'should',
    says: 'OCI-Chunk-Min-Length tells the least length of a chunk',
    cases: [],
    why: 'there is none',
  },
  ...rows('Pushing manifests', manifests),
  ...rows('Content discovery', discovery),
  ...rows('Content management', management),
  {
    section: 'Content management',
    level: 'must',
    says: 'a registry without deletion answers 400 or 405',
    cases: [],
    why: 'Berth has it',
  },
  ...rows('Error codes', errors),
  {
    section: 'Warnings',
    level: 'must',
    says: 'code 299, agent -, no date, at most 4096 bytes',
    cases: [],
    why: 'only quotas warn; test/modules/registry/registry-rules.test.ts',
  },
]
