import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import * as fc from 'fast-check'
import { test } from 'tap'
import type { ResponseHead } from '../../../src/ingress/messages/response-head.ts'
import { ResponseParser, type ResponseSink } from '../../../src/ingress/messages/response-parser.ts'
import { portOf } from './proxy-fixture.ts'

interface Outcome {
  fault: string | undefined
  status: number
  headers: string[]
  body: string
  trailers: string[]
  whole: boolean
}

/** Parses a response that comes in these pieces on a connection that ends behind them. */
function parse(pieces: readonly Buffer[], toHead = false): Outcome {
  const outcome: Outcome = { fault: undefined, status: 0, headers: [], body: '', trailers: [], whole: false }
  const take = (head: ResponseHead): void => {
    outcome.status = head.status
    outcome.headers = head.headers
  }
  const sink: ResponseSink = {
    informational: () => {},
    wholeResponse: (head, body) => {
      take(head)
      outcome.body = body
      outcome.whole = true
    },
    responseHead: take,
    bodyPiece: (buffer, start, end) => {
      outcome.body += buffer.toString('latin1', start, end)
    },
    responseEnd: (trailers) => {
      outcome.trailers = trailers
      outcome.whole = true
    },
    switchedProtocol: (head) => take(head),
  }
  const parser = new ResponseParser(64 * 1024, 500)
  parser.begin(toHead)
  for (const piece of pieces) {
    if (outcome.whole || outcome.fault !== undefined) break
    outcome.fault = parser.feed(piece, piece.length, sink)
  }
  if (!outcome.whole && outcome.fault === undefined) outcome.fault = parser.finish(sink)
  return outcome
}

const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/)
const value = fc.stringMatching(/^(?:[!-~\u0080-\u00ff](?:[\t -~\u0080-\u00ff]{0,20}[!-~\u0080-\u00ff])?)?$/)
const fields = fc.array(
  fc.tuple(
    token.map((name) => `x-${name}`),
    value,
  ),
  { maxLength: 6 },
)
const chunks = fc.array(fc.stringMatching(/^[ -~\r\n\u0080-\u00ff]{1,40}$/), { maxLength: 5 })

interface Generated {
  text: string
  headers: string[]
  body: string
}

/** Well-formed responses in every framing. */
const response: fc.Arbitrary<Generated> = fc
  .record({ fields, chunks, framing: fc.constantFrom('length', 'chunked', 'close'), interim: fc.boolean() })
  .map(({ fields, chunks, framing, interim }) => {
    const body = chunks.join('')
    const lines = fields.map(([name, text]) => `${name}: ${text}\r\n`).join('')
    const frame = {
      length: `Content-Length: ${body.length}\r\n`,
      chunked: 'Transfer-Encoding: chunked\r\n',
      close: '',
    }
    const coded = `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`
    const text =
      (interim ? 'HTTP/1.1 103 Early Hints\r\nx-a: 1\r\n\r\n' : '') +
      `HTTP/1.1 200 OK\r\n${lines}${frame[framing]}\r\n${framing === 'chunked' ? coded : body}`
    return { text, headers: fields.flat(), body }
  })

function cut(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, 'latin1')
  const at = [...new Set(cuts.map((each) => each % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...at]
    .map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))
    .filter((piece) => piece.length > 0)
}

test('a response is the same however it is cut into pieces', async (t) => {
  fc.assert(
    fc.property(response, fc.array(fc.nat(), { maxLength: 12 }), ({ text, headers, body }, cuts) => {
      const outcome = parse(cut(text, cuts))
      t.strictSame(
        { ...outcome, body: outcome.body },
        { fault: undefined, status: 200, headers, body, trailers: [], whole: true },
      )
    }),
    { numRuns: 500 },
  )
})

test('a response that is cut short is never taken for whole', async (t) => {
  fc.assert(
    fc.property(response, fc.nat(), ({ text, body }, at) => {
      const short = text.slice(0, at % text.length)
      const outcome = parse([Buffer.from(short, 'latin1')])
      const untilClose = !/content-length|transfer-encoding/i.test(text) && short.includes('200 OK\r\n')
      if (outcome.whole && !untilClose) t.equal(outcome.body, body)
      else if (!outcome.whole) t.ok(outcome.fault)
    }),
    { numRuns: 500 },
  )
})

/** What Node's own strict parser makes of a response. */
async function askNode(text: string): Promise<{ status: number; body: string } | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(text, 'latin1'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await new Promise((resolve) => {
      const request = httpRequest({ port: portOf(server), agent: false }, (incoming: IncomingMessage) => {
        let body = ''
        incoming.setEncoding('latin1')
        incoming.on('data', (piece: string) => (body += piece))
        incoming.on('end', () =>
          resolve(incoming.complete ? { status: incoming.statusCode ?? 0, body } : undefined),
        )
        incoming.on('error', () => resolve(undefined))
      })
      request.on('error', () => resolve(undefined))
      request.on('upgrade', () => resolve(undefined))
      request.end()
    })
  } finally {
    server.close()
  }
}

const mutation = fc.record({
  at: fc.nat(),
  remove: fc.nat({ max: 3 }),
  insert: fc.constantFrom(
    '',
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '0',
    '1',
    'f',
    '-',
    '+',
    '\u0000',
    '\u00ff',
    'Content-Length: 1\r\n',
    'Transfer-Encoding: chunked\r\n',
  ),
})

test('what is accepted of damaged responses, a second strict parser reads in the same way', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      response,
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      async ({ text }, mutations) => {
        let damaged = text
        for (const { at, remove, insert } of mutations) {
          const index = at % (damaged.length + 1)
          damaged = damaged.slice(0, index) + insert + damaged.slice(index + remove)
        }
        const ours = parse([Buffer.from(damaged, 'latin1')])
        if (!ours.whole) return
        const node = await askNode(damaged)
        if (node === undefined) return
        t.strictSame({ status: ours.status, body: ours.body }, node, JSON.stringify(damaged))
      },
    ),
    { numRuns: 400 },
  )
})

test('random bytes are refused and never throw', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.boolean(), (bytes, behindHead) => {
      const head = behindHead ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' : ''
      const outcome = parse([Buffer.concat([Buffer.from(head), Buffer.from(bytes)])])
      if (!outcome.whole) t.ok(outcome.fault)
    }),
    { numRuns: 1000 },
  )
})
