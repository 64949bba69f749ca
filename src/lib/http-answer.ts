import type { ClientRequest, IncomingMessage } from 'node:http'

/**
 * The answer to a request that goes out, its body still to be read. Rejects when there is none: also where the server switches protocols unasked
 * (RFC 9110, section 15.2.2), which Node tells by neither `response` nor `error`, and where the connection is just gone.
 */
export function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  sent.once('response', resolve)
  sent.once('upgrade', (_, socket) => {
    socket.destroy()
    reject(new Error('it switches protocols instead of answering'))
  })
  // Kept: an error may still come while the answer is read.
  sent.on('error', reject)
  sent.once('close', () => reject(new Error('closed without an answer')))
  return promise
}
