import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { createFileHasher } from '../../src/lib/file-hasher.ts'
import { BLOCK_BYTES, createSharedBlocks, type SharedBlock } from '../../src/lib/shared-blocks.ts'
import { createSystem } from '../../src/lib/system.ts'

const hasher = createFileHasher()
const blocks = createSharedBlocks(createSystem(), () => hasher.rest())
const folder = mkdtempSync(join(tmpdir(), 'berth-hasher-'))

const takeBlock = (): SharedBlock => {
  const block = blocks.take()
  if (!block) throw new Error('no block')
  return block
}
const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

test('blocks that are written while others are hashed lie where they belong', async (t) => {
  for (const before of [0, 4096, 5000]) {
    const content = randomBytes(9 * BLOCK_BYTES + 12_345)
    const path = join(folder, `blob-${before}`)
    await writeFile(path, content.subarray(0, before))
    const following = hasher.follow(path, 'sha256', { isWriter: true })
    // An upload that goes on: what is in the file already is read.
    if (before > 0) following.advance(before)
    const order: number[] = []
    const writes: Promise<unknown>[] = []
    for (let at = before; at < content.length; at += BLOCK_BYTES) {
      const block = takeBlock()
      const bytes = content.copy(block.bytes, 0, at, Math.min(content.length, at + BLOCK_BYTES))
      const write = following.write(block, bytes, at).then(() => {
        order.push(at)
        blocks.giveBack(block)
        return at
      })
      writes.push(write)
    }
    await Promise.all(writes)
    t.same(
      order,
      order.toSorted((one, other) => one - other),
      'told of in order',
    )
    t.equal(await following.finish(content.length), sha256(content), `behind ${before} bytes`)
    t.ok(content.equals(await readFile(path)), 'the file holds it')
  }
})

test('a write that fails ends all of its upload, and no other', async (t) => {
  const path = join(folder, 'whole')
  const whole = hasher.follow(path, 'sha256', { isWriter: true })
  const broken = hasher.follow('/dev/full', 'sha256', { isWriter: true })
  const [one, other] = [takeBlock(), takeBlock()]
  one.bytes.fill(1)
  other.bytes.fill(2)
  const outcomes = await Promise.allSettled([
    broken.write(one, BLOCK_BYTES, 0),
    broken.write(other, BLOCK_BYTES, BLOCK_BYTES),
    broken.write(other, 10, 2 * BLOCK_BYTES),
    whole.write(one, BLOCK_BYTES, 0),
    whole.write(other, BLOCK_BYTES, BLOCK_BYTES),
  ])
  t.same(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected', 'fulfilled', 'fulfilled'],
  )
  await t.rejects(broken.write(one, 10, 0), { message: /it has ended/ })
  t.match(
    outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : [])),
    Array.from({ length: 3 }, () => ({ code: 'ENOSPC' })),
  )
  t.equal(await whole.finish(2 * BLOCK_BYTES), sha256(Buffer.concat([one.bytes, other.bytes])))
  for (const block of [one, other]) blocks.giveBack(block)
})

test('an upload that is given up leaves the thread to others', async (t) => {
  const dropped = hasher.follow(join(folder, 'dropped'), 'sha256', { isWriter: true })
  const block = takeBlock()
  const write = dropped.write(block, BLOCK_BYTES, 0)
  dropped.drop()
  await t.rejects(write, { message: /has ended/ })
  const path = join(folder, 'next')
  await writeFile(path, 'next')
  t.equal(
    await hasher.follow(path, 'sha512').finish(4),
    `sha512:${createHash('sha512').update('next').digest('hex')}`,
  )
  await hasher.close()
})
