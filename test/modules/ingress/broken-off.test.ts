import type { IncomingMessage } from 'node:http'
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { test } from 'tap'
import type { Test } from 'tap'
import { makeCertificate } from '../../support/certificate.ts'
import { fields, Flag, frame, FrameClient, FrameType, splitFrames } from './http2-frames.ts'
import {
  eventually,
  HOST,
  RawClient,
  route,
  type RunningProxy,
  startH2c,
  startProxy,
  startRawReplica,
  startReplica,
} from './proxy-fixture.ts'

const certificate = makeCertificate(HOST)
const { headers, data, reset } = FrameType
const GRPC: [string, string] = ['content-type', 'application/grpc']

async function start(t: Test): Promise<RunningProxy> {
  return await startProxy(t, { certificates: { [HOST]: await certificate } })
}

function head(method: string, ...more: [string, string][]): Buffer {
  return fields(
    [':method', method],
    [':scheme', 'https'],
    [':path', '/upload'],
    [':authority', HOST],
    ...more,
  )
}

/** A stream 1 that has sent a header section and a first piece of its body. */
async function beginUpload(t: Test, port: number, ...more: [string, string][]): Promise<FrameClient> {
  const client = await FrameClient.open(t, port, HOST)
  client.send(
    frame(headers, Flag.endHeaders, 1, head('POST', ...more)),
    frame(data, 0, 1, Buffer.from('half')),
  )
  return client
}

function resetFrame(code: number, stream = 1): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return frame(reset, 0, stream, payload)
}

function codeOf(client: FrameClient): number | undefined {
  return client.frames.find(({ type }) => type === reset)?.payload.readUInt32BE(0)
}

function hasEnded(client: FrameClient): boolean {
  return client.frames.some(
    ({ type, flags }) => (type === headers || type === data) && (flags & Flag.endStream) !== 0,
  )
}

/** Ways in which a client breaks off what it sends. */
const WAYS: [name: string, breakOff: (client: FrameClient) => unknown][] = [
  ['a reset', (client) => client.send(resetFrame(constants.NGHTTP2_CANCEL))],
  ['a reset that names no error', (client) => client.send(resetFrame(constants.NGHTTP2_NO_ERROR))],
  ['a connection that is reset', (client) => client.socket.destroy()],
  ['a connection that is closed', (client) => client.socket.end()],
]

test('an upload that its client breaks off never looks whole to the application', async (t) => {
  const ends: string[] = []
  let begun = 0
  const replica = await startReplica(t, (request: IncomingMessage) => {
    request.on('data', () => (begun += 1))
    request.on('error', () => ends.push('broken off'))
    request.on('end', () => ends.push('whole'))
  })
  const { port, tlsPort, publish, context } = await start(t)
  publish(route(HOST, replica))
  const expected: string[] = []
  const tell = async (name: string, breakOff: () => unknown): Promise<void> => {
    expected.push('broken off')
    await eventually(() => begun === expected.length)
    breakOff()
    await eventually(() => ends.length === expected.length)
    t.same(ends, expected, name)
    await eventually(() => context.routes.loads().length === 0)
  }
  for (const [name, breakOff] of WAYS)
    for (const more of [[], [['content-length', '100']]] as [string, string][][]) {
      const client = await beginUpload(t, tlsPort, ...more)
      await tell(`HTTP/2, ${name}, ${more.length === 0 ? 'without' : 'with'} a length`, () =>
        breakOff(client),
      )
    }
  for (const way of ['destroy', 'end'] as const) {
    const client = await RawClient.open(t, port)
    client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`)
    await tell(`HTTP/1.1 in chunks, ${way}`, () => client.socket[way]())
  }
  t.equal(context.counters.exceptions, 0)
})

test('messages of a call that its client breaks off never look whole to the application', async (t) => {
  const ends: number[] = []
  let begun = 0
  const replica = await startH2c(t, (stream) => {
    stream.on('error', () => {})
    stream.on('data', () => (begun += 1))
    stream.on('end', () => ends.push(stream.rstCode))
  })
  const { tlsPort, publish, context } = await start(t)
  publish(route(HOST, replica))
  for (const [index, [name, breakOff]] of WAYS.entries()) {
    const client = await beginUpload(t, tlsPort, GRPC)
    await eventually(() => begun === index + 1)
    breakOff(client)
    await eventually(() => ends.length === index + 1)
    t.equal(ends.at(-1), constants.NGHTTP2_CANCEL, name)
    await eventually(() => context.routes.loads().length === 0)
  }
  t.equal(context.counters.exceptions, 0)
})

test('a call that is answered or refused before its client has sent all does not look whole either', async (t) => {
  const ends: number[] = []
  const replica = await startH2c(t, (stream, { 'x-kind': kind }) => {
    stream.on('error', () => {})
    stream.on('data', () => {})
    stream.on('end', () => ends.push(stream.rstCode))
    if (kind === 'early') stream.respond({ ':status': 200, 'grpc-status': '3' }, { endStream: true })
  })
  const { tlsPort, publish, context } = await start(t)
  publish({ ...route(HOST, replica), rules: { max_body_bytes: 10 } })
  const early = await beginUpload(t, tlsPort, GRPC, ['x-kind', 'early'])
  await eventually(() => hasEnded(early) && ends.length === 1)
  const long = await beginUpload(t, tlsPort, GRPC)
  await eventually(() => context.routes.loads().length === 1)
  long.send(frame(data, 0, 1, Buffer.alloc(20)))
  await eventually(() => hasEnded(long) && ends.length === 2)
  t.same(ends, [constants.NGHTTP2_CANCEL, constants.NGHTTP2_CANCEL])
})

/** An answer's beginning and then nothing, in the three ways in which its end may be told. */
const ANSWERS: [name: string, text: string][] = [
  ['with a length', 'Content-Length: 100\r\n\r\nhalf'],
  ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ['up to the end of its connection', '\r\nhalf'],
]

test('an answer that its application breaks off is reset, never ended', async (t) => {
  const { tlsPort, publish, context } = await start(t)
  for (const [name, text] of ANSWERS) {
    const lost = await startRawReplica(t, (socket) => {
      socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\n${text}`, () => loseSoon.push(socket)))
    })
    const loseSoon: { resetAndDestroy(): unknown }[] = []
    publish(route(HOST, lost))
    const client = await FrameClient.open(t, tlsPort, HOST)
    client.send(frame(headers, Flag.endHeaders | Flag.endStream, 1, head('GET')))
    await eventually(() => client.count(data, 1) > 0)
    loseSoon[0]?.resetAndDestroy()
    await eventually(() => client.count(reset, 1) > 0)
    t.equal(codeOf(client), constants.NGHTTP2_INTERNAL_ERROR, name)
    t.notOk(hasEnded(client), name)
  }
  t.equal(context.counters.truncated, ANSWERS.length)
  t.equal(context.counters.exceptions, 0)
})

/** Ways in which a gRPC server loses a call that it has begun to answer. */
const LOSSES: [name: string, lose: (stream: ServerHttp2Stream) => unknown][] = [
  ['its session ends', (stream) => stream.session?.destroy()],
  ['its session ends for a fault', (stream) => stream.session?.destroy(new Error('lost'))],
  ['its connection is reset', (stream) => stream.session?.socket.destroy()],
  ['its stream is cancelled', (stream) => stream.close(constants.NGHTTP2_CANCEL)],
]

test('a call whose server is lost in the middle of its answer is reset, never ended', async (t) => {
  const streams: ServerHttp2Stream[] = []
  const replica = await startH2c(t, (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    stream.session?.on('error', () => {})
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.write('half')
    streams.push(stream)
  })
  const { tlsPort, publish, context } = await start(t)
  publish(route(HOST, replica))
  for (const [name, lose] of LOSSES)
    for (const endStream of [0, Flag.endStream]) {
      const client = await FrameClient.open(t, tlsPort, HOST)
      client.send(frame(headers, Flag.endHeaders | endStream, 1, head('POST', GRPC)))
      await eventually(() => client.count(data, 1) > 0)
      lose(streams.at(-1) as ServerHttp2Stream)
      await eventually(() => client.count(reset, 1) > 0 || hasEnded(client))
      t.equal(codeOf(client), constants.NGHTTP2_INTERNAL_ERROR, name)
      t.notOk(hasEnded(client), name)
      await eventually(() => context.routes.loads().length === 0)
    }
  t.equal(context.counters.exceptions, 0)
})

/** A gRPC server that begins each answer, and ends it with these frames. */
function startFrameReplica(t: Test, endOf: (stream: number) => Buffer[]): Promise<number> {
  return startRawReplica(t, (socket) => {
    let received: Buffer = Buffer.alloc(0)
    let preface = PREFACE_BYTES
    socket.write(frame(FrameType.settings, 0, 0))
    socket.on('data', (piece: Buffer) => {
      received = Buffer.concat([received, piece])
      if (received.length < preface) return
      const { frames, rest } = splitFrames(received.subarray(preface))
      preface = 0
      received = rest
      for (const { stream } of frames.filter(({ type }) => type === headers)) {
        const head = frame(headers, Flag.endHeaders, stream, fields([':status', '200'], GRPC))
        socket.write(Buffer.concat([head, frame(data, 0, stream, Buffer.from('half'))]))
        setImmediate(() => socket.write(Buffer.concat(endOf(stream))))
      }
    })
  })
}

const PREFACE_BYTES = 24
/** A server may tell that it needs no more of a call, but only behind its whole answer (RFC 9113, section 8.1). */
const ENDS: [name: string, whole: boolean, endOf: (stream: number) => Buffer[]][] = [
  ['nothing', false, () => []],
  ['data', true, (stream) => [frame(data, Flag.endStream, stream, Buffer.from('rest'))]],
  [
    'trailers',
    true,
    (stream) => [frame(headers, Flag.endHeaders | Flag.endStream, stream, fields(['grpc-status', '0']))],
  ],
]

test('a reset of a call that names no error ends what is whole, and nothing else', async (t) => {
  const { tlsPort, publish, context } = await start(t)
  for (const [name, whole, endOf] of ENDS) {
    const replica = await startFrameReplica(t, (stream) => [
      ...endOf(stream),
      resetFrame(constants.NGHTTP2_NO_ERROR, stream),
    ])
    publish(route(HOST, replica))
    for (const endStream of [0, Flag.endStream]) {
      const client = await FrameClient.open(t, tlsPort, HOST)
      client.send(frame(headers, Flag.endHeaders | endStream, 1, head('POST', GRPC)))
      await eventually(() => client.count(reset, 1) > 0 || hasEnded(client))
      t.equal(hasEnded(client), whole, `${name}, ${endStream}`)
      if (!whole) t.equal(codeOf(client), constants.NGHTTP2_INTERNAL_ERROR)
      await eventually(() => context.routes.loads().length === 0)
    }
  }
  t.equal(context.counters.exceptions, 0)
})
