import { test } from 'tap'
import { startDockerRegistry } from '../../support/docker-registry.ts'
import { messageOf } from '../../../src/lib/errors.ts'
import { SIZES } from './push-cases.ts'
import { RegistryClient } from './registry-client.ts'
import { REGISTRY_CASES } from './registry-suite.ts'

/** What docker-registry 2.8 does not do, or does in another way: it is older than the specification 1.1. */
const FAILS: readonly string[] = [
  ...SIZES.map((size) => `push: a blob of ${size} bytes by one POST`),
  'pull: a manifest by tag and digest, GET and HEAD alike, whatever Accept says',
  'pull: ranges of a blob',
  'pull: entity tags and conditions on blobs',
  'pull: entity tags and conditions on manifests, GET and HEAD alike',
  'pull: a name may hold the words of the API',
  'errors: a name that is none is NAME_INVALID',
  'push: a chunk out of order is 416, and the upload goes on unchanged',
  'push: a closing chunk out of order is 416',
  'push: a range that is longer than its chunk is refused',
  'push: a first chunk that does not begin at 0 is 416',
  'push: a Content-Range that is none is refused, and nothing of its chunk is kept',
  'push: a streamed chunk that is longer than its range is refused, and the upload keeps no more than the range',
  'push: one writer at a time: the second is refused, the first goes on',
  'push: a wrong digest is refused in a single POST',
  'push: sha512 blobs, also in an upload that began without an algorithm',
  'push: ?digest-algorithm= is honoured, an unknown one refused',
  'push: a mount without from finds the blob where the caller may pull',
  'push: a manifest by tag: 201, Location, the exact bytes back',
  'push: ?tag= repeated on a push by digest, answered with OCI-Tag',
  'push: what is no manifest is MANIFEST_INVALID',
  'push: an index whose children are absent is accepted',
  'push: layers that are not for distribution need not be pushed',
  'push: a manifest beyond the limit is 413',
  'push: a subject is answered with OCI-Subject, also one that is missing',
  'push: a tag moves to what was pushed last',
  'push: a manifest under a digest that is none is refused',
  'push: a sha512 manifest of sha512 blobs, with tags',
  'push: a tag of 128 characters of every kind',
  'discovery: tags in the order of their bytes',
  'discovery: n and last page through the tags',
  'discovery: n=0 gives an empty list, and Link leads through all pages',
  'discovery: a repository without tags lists none',
  'discovery: referrers of a manifest, with artifact type and annotations',
  'discovery: an index refers too, without an artifact type when it has none, with its annotations',
  'discovery: referrers of what nobody refers to is an empty index',
  'discovery: referrers of what is no digest is 400',
  'discovery: referrers filtered by artifact type say so',
  'discovery: referrers are paged by Link',
  'discovery: referrers that an older client left under the fallback tag are listed too',
  'management: DELETE of a tag removes the tag only',
  'management: a deleted manifest is no referrer any more',
  'management: DELETE in a repository that does not exist is 404, of what is no digest 400 or 404',
  'management: a blob that a manifest needs stays',
  'management: what was deleted may be pushed again',
]

test("of the suite, Debian's docker-registry fails what is newer than it is, and nothing else", async (t) => {
  const registry = await startDockerRegistry()
  t.teardown(() => registry.stop())
  const client = new RegistryClient(registry.origin)
  const failed: string[] = []
  for (const [index, { group, title, run }] of REGISTRY_CASES.entries()) {
    try {
      await run(client, `demo/case-${index}`)
    } catch (error) {
      failed.push(`${group}: ${title}`)
      t.comment(`fails "${title}": ${messageOf(error).split('\n', 1)[0]}`)
    }
  }
  t.same(failed.toSorted(), FAILS.toSorted())
})
