import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { ArchiveFormat } from '../../../src/lib/archive-decode.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { type Answer, openUploadApi, PROJECT, SERVICE, until } from './upload-api.ts'
import { directory, file, header, pax, symlink, tar, tarZst } from './tar-fixture.ts'

const SOURCE = tar(directory('src/'), file('src/app.js', 'console.log(1)'), file('package.json', '{}'))
/** Does not compress. */
const NOISE = Buffer.concat(
  Array.from({ length: 100_000 }, (_, index) => createHash('sha256').update(String(index)).digest()),
)

const FORMATS: [type: string, format: ArchiveFormat, pack: (tar: Buffer) => Buffer][] = [
  ['application/zstd', 'tar.zst', (bytes) => zstdCompressSync(bytes)],
  ['application/gzip', 'tar.gz', (bytes) => gzipSync(bytes)],
  ['Application/X-Tar; charset=binary', 'tar', (bytes) => bytes],
]

for (const [type, format, pack] of FORMATS) {
  test(`a source comes in as ${type} and lies on the disk as it was sent`, async (t) => {
    const api = await openUploadApi(t)
    const body = pack(SOURCE)
    const { status, body: upload } = await api.upload(body, { 'content-type': type })
    t.equal(status, 201)
    const sha256 = createHash('sha256').update(body).digest('hex')
    t.match(upload, {
      service_id: SERVICE,
      format,
      size_bytes: body.length,
      unpacked_bytes: 16,
      entries: 3,
      sha256,
    })
    t.equal(
      Date.parse(String(upload['expires_at'])) - Date.parse(String(upload['created_at'])) >= 3_600_000,
      true,
    )
    const name = `${String(upload['upload_id'])}.${format}`
    t.same(api.filesOnDisk(), [name])
    t.ok(readFileSync(join(api.dataDir, 'uploads', name)).equals(body))
    t.equal(statSync(join(api.dataDir, 'uploads', name)).mode & 0o777, 0o600)
    t.match(api.rows(), [{ id: upload['upload_id'], deployment_id: null }])
    t.match(api.audited, [
      { action: 'createUpload', resource_id: upload['upload_id'], project_id: PROJECT, details: { sha256 } },
    ])
  })
}

test('a body may be larger than the limit of JSON bodies and needs no length', async (t) => {
  const api = await openUploadApi(t)
  const body = tarZst(file('noise', NOISE))
  const { sender, answer } = api.begin()
  for (let at = 0; at < body.length; at += 10_000) sender.write(body.subarray(at, at + 10_000))
  sender.end()
  t.match(await answer, { status: 201, body: { size_bytes: body.length, unpacked_bytes: NOISE.length } })
})

const REFUSED: [title: string, body: Buffer, headers: Record<string, string>, answer: object][] = [
  [
    'a path that climbs out',
    tarZst(file('ok'), file('../evil')),
    {},
    {
      status: 400,
      body: { error: 'BAD_ARCHIVE', details: [{ field: '../evil', message: 'there is ".." in a path' }] },
    },
  ],
  [
    'a link that leads out',
    tarZst(symlink('a', '/etc/passwd')),
    {},
    { status: 400, body: { error: 'BAD_ARCHIVE' } },
  ],
  [
    'a device',
    tarZst(header({ name: 'sda', type: '4' })),
    {},
    { status: 400, body: { error: 'BAD_ARCHIVE' } },
  ],
  [
    'an archive that is cut',
    tarZst(file('a', NOISE)).subarray(0, 100_000),
    {},
    { status: 400, body: { error: 'BAD_ARCHIVE' } },
  ],
  [
    'no archive',
    Buffer.from('hello'.repeat(500)),
    { 'content-type': 'application/x-tar' },
    { status: 400, body: { error: 'BAD_ARCHIVE' } },
  ],
  ['an empty body', Buffer.alloc(0), {}, { status: 400, body: { error: 'BAD_ARCHIVE' } }],
  [
    'gzip that is called zstd',
    gzipSync(SOURCE),
    {},
    {
      status: 400,
      body: { details: [{ message: 'the content type says tar.zst, the body begins like tar.gz' }] },
    },
  ],
  [
    'too many entries',
    tarZst(...Array.from({ length: 1001 }, (_, index) => file(`f${index}`))),
    {},
    { status: 413, body: { error: 'PAYLOAD_TOO_LARGE' } },
  ],
  [
    'a bomb',
    tarZst(file('zeros', Buffer.alloc(257 * 1024 ** 2))),
    {},
    { status: 413, body: { error: 'PAYLOAD_TOO_LARGE' } },
  ],
  [
    'another content type',
    SOURCE,
    { 'content-type': 'application/octet-stream' },
    { status: 415, body: { error: 'UNSUPPORTED_MEDIA_TYPE' } },
  ],
  [
    'JSON',
    Buffer.from('{}'),
    { 'content-type': 'application/json' },
    { status: 415, body: { error: 'UNSUPPORTED_MEDIA_TYPE' } },
  ],
  ['no token', SOURCE, { authorization: '' }, { status: 401, body: { error: 'UNAUTHENTICATED' } }],
  [
    'a viewer',
    SOURCE,
    { authorization: 'Bearer viewer' },
    { status: 403, body: { error: 'FORBIDDEN', permission: 'uploads.create' } },
  ],
  ['a stranger', SOURCE, { authorization: 'Bearer stranger' }, { status: 404, body: { error: 'NOT_FOUND' } }],
]

for (const [title, body, headers, expected] of REFUSED) {
  test(`refused over HTTP, with nothing left behind: ${title}`, async (t) => {
    const api = await openUploadApi(t)
    t.match(await api.upload(body, headers), expected)
    t.same(api.filesOnDisk(), [])
    t.same(api.rows(), [])
    t.same(api.audited, [])
  })
}

test('a service that does not exist is not found, and no other route takes archives', async (t) => {
  const api = await openUploadApi(t)
  t.match(await api.upload(SOURCE, {}, `/v1/services/${PROJECT}/uploads`), { status: 404 })
  t.match(await api.upload(SOURCE, {}, '/other'), { status: 415 })
})

test('a body that is announced too large is refused before it is sent', async (t) => {
  const api = await openUploadApi(t, { upload_max_bytes: 1000 })
  const { sender, answer } = api.begin({ 'content-length': 1001 })
  sender.flushHeaders()
  t.match(await answer, { status: 413, body: { error: 'PAYLOAD_TOO_LARGE' } })
  sender.destroy()
})

test('a body that turns out too large is refused while it is being sent', async (t) => {
  const api = await openUploadApi(t, { upload_max_bytes: 1_000_000 })
  const { sender, answer } = api.begin()
  sender.write(zstdCompressSync(tar(file('noise', NOISE))))
  t.match(await answer, { status: 413, body: { error: 'PAYLOAD_TOO_LARGE' } })
  t.same(api.filesOnDisk(), [])
  sender.destroy()
})

test('a client that goes on sending after a refusal still reads the answer', async (t) => {
  const api = await openUploadApi(t)
  const socket = connect(api.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write(
    `POST /v1/services/${SERVICE}/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator\r\n` +
      'Content-Type: application/x-tar\r\nContent-Length: 50000000\r\n\r\n',
  )
  socket.write(Buffer.concat([file('../evil'), Buffer.alloc(3_000_000)]))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 400 .*BAD_ARCHIVE/s)
  t.same(api.filesOnDisk(), [])
})

test('a disk without room answers DISK_FULL', async (t) => {
  const api = await openUploadApi(t, { disk_reserve_bytes: 2 ** 52 })
  t.match(await api.upload(tarZst(file('a'))), { status: 507, body: { error: 'DISK_FULL' } })
  t.same(api.filesOnDisk(), [])
})

test('a client that goes away leaves no file and no slot taken', async (t) => {
  const api = await openUploadApi(t)
  const body = tarZst(file('noise', NOISE))
  for (let round = 0; round < 6; round += 1) {
    const { sender, answer } = api.begin()
    answer.catch(() => {})
    sender.write(body.subarray(0, 200_000))
    await until(() => api.filesOnDisk().length === 1)
    sender.destroy()
    await until(() => api.filesOnDisk().length === 0)
  }
  t.match(await api.upload(body), { status: 201 })
})

test('more uploads of a project than are read at once wait for their turn', async (t) => {
  const api = await openUploadApi(t)
  const body = tarZst(file('noise', NOISE))
  const open = Array.from({ length: 6 }, () => {
    const each = api.begin({ 'content-length': body.length })
    each.sender.write(body.subarray(0, 100_000))
    return each
  })
  await until(() => api.filesOnDisk().length === 3)
  for (const { sender } of open) sender.end(body.subarray(100_000))
  for (const { answer } of open) t.match(await answer, { status: 201 })
  t.equal(api.rows().length, 6)
})

test('a service that is deleted while its source arrives keeps nothing of it', async (t) => {
  const api = await openUploadApi(t)
  const body = tarZst(file('a', NOISE))
  const { sender, answer } = api.begin()
  sender.write(body.subarray(0, 1000))
  await until(() => api.filesOnDisk().length === 1)
  api.database.run('DELETE FROM services WHERE id = $id', { id: SERVICE })
  sender.end(body.subarray(1000))
  t.match(await answer, { status: 404 })
  t.same(api.filesOnDisk(), [])
})

test('names in refusals cannot play with a terminal', async (t) => {
  const api = await openUploadApi(t)
  const { body } = await api.upload(tarZst(pax({ path: '../\u001B[2Jx\u202Ey' }), file('a')))
  t.equal(body.details?.[0]?.field, '../\\u{1b}[2Jx\\u{202e}y')
  t.equal(
    (await api.upload(tarZst(pax({ path: `../${'n'.repeat(1000)}` }), file('a')))).body.details?.[0]?.field
      ?.length,
    201,
  )
})

test('a client that sends next to nothing is refused after a while', async (t) => {
  const real = createSystem()
  const timers: (() => void)[] = []
  // Time passes when the test says so.
  const system = {
    ...real,
    later: (ms: number, run: () => void) => {
      if (ms === 15_000) timers.push(run)
      return () => {}
    },
  }
  const api = await openUploadApi(t, {}, system)
  const body = tarZst(file('noise', NOISE))
  const { sender, answer } = api.begin()
  sender.write(body.subarray(0, 100_000))
  await until(() => api.filesOnDisk().length === 1)
  const answers: Answer[] = []
  const answered = answer.then((each) => answers.push(each))
  for (let at = 100_000; answers.length === 0; at += 10) {
    sender.write(body.subarray(at, at + 10))
    timers.shift()?.()
    await real.sleep(5)
  }
  await answered
  t.match(answers[0], {
    status: 400,
    body: { details: [{ message: 'too little arrived for 60 seconds' }] },
  })
  t.same(api.filesOnDisk(), [])
  sender.destroy()
})
