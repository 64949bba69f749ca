import { type ClientRequest, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { answerOf } from '../lib/http-answer.ts'

/** After this much silence on the connection the upload is given up. */
const SILENCE_MS = 300_000
/** Answers to uploads are a few hundred bytes. */
const LARGEST_ANSWER = 1024 ** 2

/**
 * Sends a body of any length in constant memory, which Node's fetch does not (600 MB took it 700 MiB), and answers what the server says, also when
 * it says so before it has read all.
 */
export async function sendBody(
  url: URL,
  method: string,
  headers: Readonly<Record<string, string>>,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Response> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  const sent = request(url, { method, headers, agent: false, signal })
  sent.setTimeout(SILENCE_MS, () => sent.destroy(Object.assign(new Error('silence'), { code: 'ETIMEDOUT' })))
  const answered = readAnswer(sent)
  try {
    // What ends the writing early also ends the request, so the answer tells; a refusal may come while there is still much to write.
    const writing = pipeline(body, sent).then(() => answered)
    return await Promise.race([answered, writing])
  } catch (error) {
    return await answered.catch(() => Promise.reject(error))
  } finally {
    sent.destroy()
  }
}

async function readAnswer(sent: ClientRequest): Promise<Response> {
  const answer = await answerOf(sent)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > LARGEST_ANSWER) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  const fields = Object.entries(answer.headers).map(([name, value]): [string, string] => [
    name,
    String(value),
  ])
  const status = answer.statusCode ?? 0
  return new Response(status === 204 || status === 304 ? null : Buffer.concat(chunks), {
    status,
    headers: fields,
  })
}
