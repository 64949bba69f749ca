import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { ChunkReader } from '../../../src/http/raw/chunk-reader.ts'
import { readPlainHead } from '../../../src/http/raw/request-head.ts'
import { createSystem, type System } from '../../../src/lib/system.ts'
import { RegistryClient } from '../../conformance/registry/registry-client.ts'
import { movableSystem } from '../../support/identity-api.ts'
import { openIngressDoor } from '../../../src/http/ingress-door.ts'
import { openRegistryApi, PROJECT } from '../../support/registry-api.ts'

interface Reply {
  status: number
  head: string
  body: string
}

/** A connection that sends bytes as they are, and takes answers of a known length apart. */
class Wire {
  readonly socket: Socket
  isClosed = false
  #text = ''
  #changed = Promise.withResolvers<void>()

  /** By TCP, or by a Unix socket. */
  constructor(to: number | string) {
    this.socket =
      typeof to === 'string'
        ? connect({ path: to, allowHalfOpen: true })
        : connect({ port: to, host: '127.0.0.1', allowHalfOpen: true })
    const note = (): void => {
      this.#changed.resolve()
      this.#changed = Promise.withResolvers<void>()
    }
    this.socket.on('data', (piece: Buffer) => {
      this.#text += piece.toString('latin1')
      note()
    })
    for (const event of ['end', 'close', 'error']) {
      this.socket.on(event, () => {
        this.isClosed = true
        note()
      })
    }
  }

  send(text: string): this {
    this.socket.write(text, 'latin1')
    return this
  }

  async reply(isHead = false): Promise<Reply> {
    for (;;) {
      const end = this.#text.indexOf('\r\n\r\n')
      const head = this.#text.slice(0, end)
      const length = isHead ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      if (end !== -1 && this.#text.length >= end + 4 + length) {
        const body = this.#text.slice(end + 4, end + 4 + length)
        this.#text = this.#text.slice(end + 4 + length)
        return { status: Number(head.slice(9, 12)), head, body }
      }
      if (this.isClosed) throw new Error(`closed after ${JSON.stringify(this.#text)}`)
      await this.#changed.promise
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await this.#changed.promise
  }
}

async function open(t: Test, system: System = createSystem()) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-wire-'))
  const api = await openRegistryApi({ dataDir, system })
  const authorization = `Host: x\r\nAuthorization: Bearer ${await api.mintToken()}\r\n`
  const wires: Wire[] = []
  t.teardown(async () => {
    for (const wire of wires) wire.socket.destroy()
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const wire = (): Wire => {
    const made = new Wire(api.port)
    wires.push(made)
    return made
  }
  const begin = async (wire: Wire): Promise<string> => {
    wire.send(`POST /v2/${PROJECT}/wire/blobs/uploads/ HTTP/1.1\r\n${authorization}Content-Length: 0\r\n\r\n`)
    return /\r\nlocation: ([^\r]+)/i.exec((await wire.reply()).head)?.[1] ?? ''
  }
  return { api, authorization, wire, begin }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function digest(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

test('requests that come at once are answered in their order, also between /v2 and /v1', async (t) => {
  const { authorization, wire } = await open(t)
  const all = wire()
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${authorization}\r\n`
  all.send(get('/v2/') + get('/v2/nobody/nothing/tags/list') + get('/v1/me') + get('/v2/') + get('/v1/none'))
  const statuses: number[] = []
  for (let index = 0; index < 5; index += 1) statuses.push((await all.reply()).status)
  t.same(statuses, [200, 404, 200, 200, 404])
})

test('a chunked upload may arrive byte by byte, with extensions and trailers', async (t) => {
  const { authorization, wire, begin } = await open(t)
  const line = wire()
  const location = await begin(line)
  const request =
    `PATCH ${location} HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n` +
    '5;name=value\r\nhello\r\n00A\r\n, registry\r\n0\r\nX-Trailer: of no use\r\n\r\n'
  for (const byte of request) {
    line.send(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const sent = await line.reply()
  t.equal(sent.status, 202)
  t.match(sent.head, /\r\nRange: 0-14/)
  const wanted = digest('hello, registry')
  line.send(`PUT ${location}?digest=${wanted} HTTP/1.1\r\n${authorization}Content-Length: 0\r\n\r\n`)
  t.equal((await line.reply()).status, 201)
  line.send(`GET /v2/${PROJECT}/wire/blobs/${wanted} HTTP/1.1\r\n${authorization}\r\n`)
  t.equal((await line.reply()).body, 'hello, registry')
})

test('large bodies with a length, in chunks and together on one connection are kept as sent', async (t) => {
  const { authorization, wire, begin } = await open(t)
  const line = wire()
  const content = Buffer.alloc(5_300_001, (digest('x') + '\n').repeat(7))
  for (const manner of ['length', 'chunks']) {
    const location = await begin(line)
    line.send(`PUT ${location}?digest=${digest(content)} HTTP/1.1\r\n${authorization}`)
    if (manner === 'length') {
      line.send(`Content-Length: ${content.length}\r\n\r\n`)
      line.socket.write(content)
    } else {
      line.send('Transfer-Encoding: chunked\r\n\r\n')
      for (let at = 0; at < content.length; at += 70_000) {
        const piece = content.subarray(at, at + 70_000)
        line.send(`${piece.length.toString(16)}\r\n`)
        line.socket.write(piece)
        line.send('\r\n')
      }
      line.send('0\r\n\r\n')
    }
    // Behind the body, before it is answered.
    line.send(`GET /v2/ HTTP/1.1\r\n${authorization}\r\n`)
    t.equal((await line.reply()).status, 201, manner)
    t.equal((await line.reply()).status, 200)
  }
  line.send(`GET /v2/${PROJECT}/wire/blobs/${digest(content)} HTTP/1.1\r\n${authorization}\r\n`)
  t.equal(digest(Buffer.from((await line.reply()).body, 'latin1')), digest(content))
})

/** The same head on a path of this reader and on one of the general server, and whether the connection ends with the refusal. */
const REFUSED: readonly [title: string, status: number, rest: string, ends: boolean][] = [
  ['two lengths', 400, 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab', true],
  ['the same length twice', 400, 'Content-Length: 2\r\nContent-Length: 2\r\n\r\nab', true],
  ['a list of lengths', 400, 'Content-Length: 2, 2\r\n\r\nab', true],
  ['a length beside a coding', 400, 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', true],
  ['a coding beside a length', 400, 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n', true],
  ['a coding that does not end chunked', 400, 'Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n', true],
  ['a signed length', 400, 'Content-Length: +3\r\n\r\nabc', true],
  ['a hexadecimal length', 400, 'Content-Length: 0x3\r\n\r\nabc', true],
  ['a blank before the colon', 400, 'Content-Length : 3\r\n\r\nabc', true],
  ['a folded line', 400, 'X-A: b\r\n c\r\n\r\n', true],
  ['a bare line feed in a field', 400, 'X-A: b\nX-B: c\r\n\r\n', true],
  ['bare line feeds only', 400, 'X-A: b\n\n', true],
  ['a bare carriage return', 400, 'X-A: b\rX-B: c\r\n\r\n', true],
  ['a zero byte', 400, 'X-A: b\0c\r\n\r\n', true],
  ['a line without a name', 400, ': b\r\n\r\n', true],
  ['two hosts', 400, 'Host: y\r\n\r\n', false],
  ['the same host twice', 400, 'Host: x\r\n\r\n', false],
  ['two authorizations', 400, 'Authorization: Basic eDp5\r\n\r\n', false],
  ['a second host behind thousands of fields', 400, `${'a:\r\n'.repeat(2500)}Host: y\r\n\r\n`, false],
  ['a head that is too long', 431, `X-Long: ${'x'.repeat(20_000)}\r\n\r\n`, true],
]

test('what could be read in two ways is refused, by this reader as by the general one', async (t) => {
  const { authorization, wire } = await open(t)
  for (const [title, status, rest, ends] of REFUSED) {
    for (const path of [`/v2/${PROJECT}/wire/blobs/uploads/`, '/v1/projects']) {
      const line = wire()
      line.send(`POST ${path} HTTP/1.1\r\n${authorization}${rest}`)
      t.equal((await line.reply()).status, status, `${title}: ${path}`)
      if (ends) await line.closed()
      else line.socket.destroy()
    }
  }
  for (const path of ['/v2/', '/v1/me']) {
    const hostless = wire()
    hostless.send(`GET ${path} HTTP/1.1\r\n\r\n`)
    t.equal((await hostless.reply()).status, 400, `no host: ${path}`)
  }
  const many = wire()
  many.send(`GET /v2/ HTTP/1.1\r\n${authorization}${'a:\r\n'.repeat(120)}\r\n`)
  t.equal((await many.reply()).status, 200, 'many fields are odd, and no harm')
  const old = wire()
  old.send(`GET /v2/ HTTP/1.0\r\n${authorization}\r\n`)
  t.equal((await old.reply()).status, 200, 'an old client is served by the general server')
})

test('a client that takes nothing of a download for minutes loses it, a slow one does not', async (t) => {
  const clock = movableSystem()
  let mostMs = Number.POSITIVE_INFINITY
  const hurried = { ...clock, later: (ms: number, run: () => void) => clock.later(Math.min(ms, mostMs), run) }
  const { authorization, api, wire } = await open(t, hurried)
  const content = Buffer.alloc(24 * 1024 ** 2, 7)
  await new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`).pushBlob(`${PROJECT}/wire`, content)
  const path = `/v2/${PROJECT}/wire/blobs/${digest(content)}`
  mostMs = 20
  const heads = { plain: 'HTTP/1.1', 'the general server': 'HTTP/1.0' }
  for (const [title, version] of Object.entries(heads)) {
    const [deaf, slow] = [wire(), wire()]
    deaf.socket.pause()
    let taken = 0
    slow.socket.on('data', (piece: Buffer) => void (taken += piece.length))
    for (const line of [deaf, slow]) line.send(`GET ${path} ${version}\r\n${authorization}\r\n`)
    for (let step = 1; step <= 5; step += 1) {
      slow.socket.resume()
      await until(() => taken >= step * 4 * 1024 ** 2)
      slow.socket.pause()
      // Long enough for the server to look.
      await api.system.sleep(60)
      clock.advance(2 * 60_000)
      await api.system.sleep(60)
    }
    slow.socket.resume()
    await until(() => taken > content.length)
    t.ok(taken > content.length, `${title}: ten minutes, whole`)
    let got = 0
    deaf.socket.on('data', (piece: Buffer) => void (got += piece.length))
    deaf.socket.resume()
    await deaf.closed()
    t.ok(got < content.length, `${title}: ${got} bytes of what the network held already`)
  }
  const silent = wire()
  silent.send('POST /v2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngrant_type=')
  await silent.closed()
  mostMs = 100
  const drip = wire()
  drip.send(`POST /v2/${PROJECT}/wire/blobs/uploads/ HTTP/1.1\r\n${authorization}Content-Length: 0\r\n\r\n`)
  const location = /\r\nlocation: *([^\r]+)/i.exec((await drip.reply()).head)?.[1] ?? ''
  drip.send(`PATCH ${location} HTTP/1.1\r\n${authorization}Content-Length: 1000000\r\n\r\n`)
  const timer = setInterval(() => drip.socket.write('xx'), 2)
  await drip.closed()
  clearInterval(timer)
  const after = wire()
  after.send(`GET ${location} HTTP/1.1\r\n${authorization}\r\n`)
  t.match(
    (await after.reply()).head,
    /\r\nrange: 0-[1-9]/i,
    'what drop by drop came is kept, its connection is not',
  )
  t.same(api.problems, [])
})

test('a client that asks and asks and takes no answer is not asked for more', async (t) => {
  const { authorization, api, wire } = await open(t)
  const line = wire()
  line.socket.pause()
  const name = `${PROJECT}/wire`
  const client = new RegistryClient(api.origin, `Bearer ${await api.mintToken()}`)
  const small = await client.pushBlob(name, Buffer.alloc(20_000, 1))
  const request = `GET /v2/${name}/blobs/${small} HTTP/1.1\r\n${authorization}\r\n`
  let isSent = false
  line.socket.write(request.repeat(150_000), () => {
    isSent = true
  })
  const before = process.memoryUsage().rss
  await api.system.sleep(1000)
  t.notOk(isSent, 'the requests wait at the client')
  t.ok(process.memoryUsage().rss - before < 150 * 1024 ** 2, 'and the answers not here')
})

test('thousands of requests sent at once are answered one after the other, without reading ahead of them all', async (t) => {
  const { authorization, wire } = await open(t)
  const line = wire()
  const count = 2000
  const field = `X-Large: ${'x'.repeat(4000)}\r\n`
  line.send(`GET /v2/ HTTP/1.1\r\n${authorization}${field}\r\n`.repeat(count))
  const statuses = new Set<number>()
  for (let index = 0; index < count; index += 1) statuses.add((await line.reply()).status)
  t.same([...statuses], [200])
})

test('the ingress is believed whom it speaks for, and nobody else', async (t) => {
  const { api, wire } = await open(t)
  const path = join(mkdtempSync(join(tmpdir(), 'berth-door-')), 'door')
  const close = await openIngressDoor(api.server, path)
  t.teardown(close)
  const claims =
    'X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: berth.example\r\n'
  const ask = `GET /v2/ HTTP/1.1\r\nHost: berth.example\r\n${claims}\r\n`
  t.match((await new Wire(path).send(ask).reply()).head, 'realm="https://berth.example/v2/token"')
  t.match((await wire().send(ask).reply()).head, 'realm="http://berth.example/v2/token"')
  const several = ask.replace('192.0.2.7', '192.0.2.8, 192.0.2.7')
  t.match((await new Wire(path).send(several).reply()).head, 'realm="https://berth.example/v2/token"')
  const credentials = Buffer.from('nobody:wrong').toString('base64')
  const guess = `GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${credentials}\r\n${claims}\r\n`
  const line = new Wire(path)
  for (let tries = 0; tries < 12; tries += 1) await line.send(guess).reply()
  t.equal((await line.send(guess).reply()).status, 429, 'who guesses is held up')
  const other = guess
    .replace('192.0.2.7', '192.0.2.9')
    .replace(credentials, Buffer.from('somebody:wrong').toString('base64'))
  t.equal((await line.send(other).reply()).status, 401, 'and others are not')
  line.socket.destroy()
})

test('a malformed chunk ends the connection, and the upload keeps what came before', async (t) => {
  const { authorization, wire, begin } = await open(t)
  const location = await begin(wire())
  const line = wire()
  line.send(
    `PATCH ${location} HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`,
  )
  await line.closed()
  const after = wire()
  after.send(`GET ${location} HTTP/1.1\r\n${authorization}\r\n`)
  t.match((await after.reply()).head, /\r\nRange: 0-2/)
})

test('a client that waits for 100 Continue gets it, or the refusal before it sends anything', async (t) => {
  const { authorization, wire, begin } = await open(t)
  const line = wire()
  const location = await begin(line)
  const expecting = 'Expect: 100-continue\r\nContent-Length: 3\r\n\r\n'
  line.send(`PUT ${location}?digest=${digest('abc')} HTTP/1.1\r\n${authorization}${expecting}`)
  t.equal((await line.reply()).status, 100)
  line.send('abc')
  t.equal((await line.reply()).status, 201)
  const refused = wire()
  refused.send(`PUT ${location}?digest=${digest('abc')} HTTP/1.1\r\nHost: x\r\n${expecting}`)
  const answer = await refused.reply()
  t.equal(answer.status, 401)
  t.match(answer.head, /\r\nConnection: close/)
  await refused.closed()
})

test('a refused body is read over, and the connection goes on', async (t) => {
  const { authorization, wire, begin } = await open(t)
  const line = wire()
  const location = await begin(line)
  line.send(`PUT ${location}?digest=none HTTP/1.1\r\n${authorization}Content-Length: 3000000\r\n\r\n`)
  line.socket.write(Buffer.alloc(3_000_000))
  t.equal((await line.reply()).status, 400)
  line.send(`GET /v2/ HTTP/1.1\r\n${authorization}Connection: close\r\n\r\n`)
  const last = await line.reply()
  t.equal(last.status, 200)
  t.match(last.head, /\r\nConnection: close/)
  await line.closed()
})

test('a client that ended its side gets its answer; a stop ends connections that wait', async (t) => {
  const { api, authorization, wire } = await open(t)
  const half = wire()
  half.send(`GET /v2/ HTTP/1.1\r\n${authorization}\r\n`)
  half.socket.end()
  t.equal((await half.reply()).status, 200)
  await half.closed()
  const [idle, silent] = [wire(), wire()]
  idle.send(`GET /v2/ HTTP/1.1\r\n${authorization}\r\n`)
  t.equal((await idle.reply()).status, 200)
  await api.server.close()
  await idle.closed()
  await silent.closed()
})

test('the chunked coding is taken off the same however it is cut', async (t) => {
  const coded = Buffer.from(
    '5\r\nhello\r\n1;x="y"\r\n,\r\nB\r\n01234567890\r\n0\r\nA: b\r\nC: d\r\n\r\nGET /next',
  )
  for (let size = 1; size <= coded.length; size += 1) {
    const reader = new ChunkReader()
    let text = ''
    let used = 0
    for (let at = 0; at < coded.length && !reader.over; at += size)
      used += reader.read(coded.subarray(at, at + size), (data) => {
        text += data.toString()
      })
    t.same([text, reader.over, reader.fault], ['hello,01234567890', true, false], `pieces of ${size}`)
    t.equal(used, coded.length - 'GET /next'.length)
  }
  for (const wrong of [
    '\r\n',
    'g\r\n',
    '3\nabc',
    '3\r\nabcd',
    '1111111111111\r\n',
    '3;\n\r\n',
    '-3\r\n',
    ' 3\r\n',
  ]) {
    const reader = new ChunkReader()
    reader.read(Buffer.from(wrong), () => {})
    t.ok(reader.fault, JSON.stringify(wrong))
  }
})

test('a head is plain only when it can be read in one way', async (t) => {
  const plain = readPlainHead(
    'PUT /v2/a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-Empty:\r\nA:  b \t',
  )
  t.equal(plain?.body, 12)
  t.equal(plain?.url, '/v2/a?b=c')
  t.equal(plain?.headers.get('x-empty'), '')
  t.equal(plain?.headers.get('a'), 'b')
  const others = [
    'GET /v2/ HTTP/1.1',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y',
    'GET http://x/v2/ HTTP/1.1\r\nHost: x',
    'GET  /v2/ HTTP/1.1\r\nHost: x',
    'GET /v2/ HTTP/1.1\r\nHost: x\nA: b',
    'GET /v2/\tx HTTP/1.1\r\nHost: x',
    'get /v2/ HTTP/1.1\r\nHost: x',
    'OPTIONS /v2/ HTTP/1.1\r\nHost: x',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3',
    'PUT /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked',
    'PUT /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3',
    'PUT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: \u00e4',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nA\0: b',
  ]
  for (const head of others) t.equal(readPlainHead(head), undefined, JSON.stringify(head))
})
