import type { Test } from 'tap'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { ArchiveReader, type ArchiveEntry } from '../../../src/lib/archive-reader.ts'
import { packArchive } from '../../../src/lib/archive-pack.ts'
import { prepareVolume } from '../../../src/modules/volumes/volume-preparation.ts'
import type { ContainerSpec } from '../../../src/runtime/runtime.ts'
import type { RuntimeHarness } from './runtime-suite.ts'

type Each = (title: string, run: (t: Test, harness: RuntimeHarness) => Promise<void>) => void
type SpecOf = (harness: RuntimeHarness, name: string) => ContainerSpec

const patience = (): AbortSignal => AbortSignal.timeout(60_000)

function contents(text: string): Readable {
  return packArchive([
    { kind: 'directory', name: 'sub', mode: 0o750, owner: 1234 },
    { kind: 'file', name: 'sub/file', mode: 0o640, owner: 1234, content: Buffer.from(text) },
    { kind: 'symlink', name: 'link', mode: 0o777, target: '/elsewhere' },
  ])
}

/** What a tar says, by name, without the root. */
async function entriesOf(tar: Readable): Promise<Record<string, Partial<ArchiveEntry> & { text?: string }>> {
  const found: Record<string, Partial<ArchiveEntry> & { text?: string }> = {}
  let name = ''
  for (const event of new ArchiveReader().push(await buffer(tar))) {
    if (event.type === 'entry') {
      name = event.entry.name.replace(/^\.\//, '').replace(/\/$/, '')
      const { kind, mode, target } = event.entry
      if (name !== '' && name !== '.') found[name] = { kind, mode: mode & 0o777, target }
    } else if (event.type === 'data') Object.assign(found[name] ?? {}, { text: event.bytes.toString() })
  }
  return found
}

/** What every runtime must do about volumes. */
export function volumes(each: Each, specOf: SpecOf): void {
  each('a volume is made once and found by its labels', async (t, { runtime, prefix }) => {
    const volume = { name: `${prefix}-data`, labels: { 'berth.service': prefix, 'berth.volume': 'data' } }
    t.equal(await runtime.ensureVolume(volume), true)
    t.equal(await runtime.ensureVolume(volume), false)
    t.match(await runtime.listVolumes({ 'berth.service': prefix }), [
      { name: volume.name, labels: volume.labels },
    ])
    t.same(await runtime.listVolumes({ 'berth.service': `${prefix}-other` }), [])
    await runtime.removeVolume(volume.name)
    await runtime.removeVolume(volume.name)
    t.same(await runtime.listVolumes({ 'berth.service': prefix }), [])
  })

  each('what is written into a volume is read from it, again and again', async (t, { runtime, prefix }) => {
    const volume = { name: `${prefix}-data`, labels: {} }
    await runtime.ensureVolume(volume)
    await runtime.writeVolume(volume.name, contents('hello'), patience())
    for (let again = 0; again < 2; again += 1) {
      t.match(await entriesOf(await runtime.readVolume(volume.name, patience())), {
        sub: { kind: 'directory', mode: 0o750 },
        'sub/file': { kind: 'file', mode: 0o640, text: 'hello' },
        link: { kind: 'symlink', target: '/elsewhere' },
      })
    }
    await runtime.removeVolume(volume.name)
    await t.rejects(runtime.readVolume(volume.name, patience()), { code: 'NOT_FOUND' })
    await t.rejects(runtime.writeVolume(volume.name, contents('x'), patience()), { code: 'NOT_FOUND' })
  })

  each(
    "a volume's root folder gets an owner and a mode and keeps what is in it",
    async (t, { runtime, prefix }) => {
      const volume = { name: `${prefix}-data`, labels: {} }
      await runtime.ensureVolume(volume)
      await runtime.writeVolume(volume.name, contents('hello'), patience())
      const root = { uid: 1_234_567, gid: 70, mode: 0o2750, mtime_ms: 1_700_000_000_000 }
      await runtime.setVolumeRoot(volume.name, root, patience())
      const read = await buffer(await runtime.readVolume(volume.name, patience()))
      const [first] = new ArchiveReader().push(read)
      t.match(first, { type: 'entry', entry: { kind: 'directory', name: /^\.\/?$/, ...root } })
      t.match(await entriesOf(Readable.from([read])), { 'sub/file': { mode: 0o640, text: 'hello' } })
      await runtime.removeVolume(volume.name)
      await t.rejects(runtime.setVolumeRoot(volume.name, root, patience()), { code: 'NOT_FOUND' })
    },
  )

  each('a volume is prepared only while nothing is in it', async (t, { runtime, prefix }) => {
    const name = `${prefix}-data`
    const mode = async (): Promise<number | undefined> => {
      const [first] = new ArchiveReader().push(await buffer(await runtime.readVolume(name, patience())))
      return first?.type === 'entry' ? first.entry.mode : undefined
    }
    await runtime.ensureVolume({ name, labels: {} })
    const root = { uid: 70, gid: 70, mode: 0o700, mtime_ms: 1_700_000_000_000 }
    await runtime.setVolumeRoot(name, root, patience())
    await prepareVolume(runtime, name, { isNew: false, now: 0 })
    t.equal(await mode(), 0o777)
    await runtime.writeVolume(name, contents('hello'), patience())
    await runtime.setVolumeRoot(name, root, patience())
    await prepareVolume(runtime, name, { isNew: false, now: 0 })
    t.equal(await mode(), 0o700)
    await runtime.removeVolume(name)
  })

  each('what breaks while it is written into a volume is the error', async (t, { runtime, prefix }) => {
    const volume = { name: `${prefix}-data`, labels: {} }
    await runtime.ensureVolume(volume)
    const broken = Readable.from(
      (async function* () {
        yield await buffer(contents('hello')).then((bytes) => bytes.subarray(0, 600))
        throw new Error('the client went away')
      })(),
    )
    await t.rejects(runtime.writeVolume(volume.name, broken, patience()), /went away/)
    const abort = new AbortController()
    const endless = new Readable({ read: () => {} })
    const writing = runtime.writeVolume(volume.name, endless, abort.signal)
    abort.abort(new Error('enough'))
    endless.push(null)
    await t.rejects(writing, /enough/)
    await runtime.removeVolume(volume.name)
  })

  each('a volume stays when its container goes, and goes only without one', async (t, harness) => {
    const { runtime, prefix } = harness
    const name = `${prefix}-data`
    await runtime.ensureVolume({ name, labels: {} })
    await runtime.writeVolume(name, contents('kept'), patience())
    const spec = { ...specOf(harness, 'user'), mounts: [{ volume: name, path: '/data', read_only: false }] }
    await runtime.ensureNetwork({ name: spec.network, labels: {} })
    await runtime.ensureContainer(spec)
    await runtime.startContainer(spec.name)
    await t.rejects(runtime.removeVolume(name), { code: 'CONFLICT' })
    t.match(await entriesOf(await runtime.readVolume(name, patience())), { 'sub/file': { text: 'kept' } })
    await runtime.removeContainer(spec.name)
    t.match(await entriesOf(await runtime.readVolume(name, patience())), { 'sub/file': { text: 'kept' } })
    await runtime.removeVolume(name)
  })

  each('volumes of another node are left alone', async (t, { runtime, stranger, prefix }) => {
    const volume = { name: `${prefix}-data`, labels: { 'berth.service': prefix } }
    await runtime.ensureVolume(volume)
    t.same(await stranger.listVolumes({ 'berth.service': prefix }), [])
    await t.rejects(stranger.removeVolume(volume.name), { code: 'CONFLICT' })
    await t.rejects(stranger.ensureVolume(volume), { code: 'CONFLICT' })
    await t.rejects(stranger.readVolume(volume.name, patience()), { code: 'CONFLICT' })
    await runtime.removeVolume(volume.name)
  })
}
