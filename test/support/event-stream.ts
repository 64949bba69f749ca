import type { Test } from 'tap'

export interface ReceivedEvent {
  id?: string
  event?: string
  data: string
}

/** Opens a server-sent event stream and reads it event by event. Throws when the answer is not a stream. */
export async function openStream(t: Test, url: string, token: string, headers: Record<string, string> = {}) {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${token}`, ...headers },
    signal: abort.signal,
  })
  if (response.status !== 200 || !response.body)
    throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let buffered = ''
  let comments = 0

  const read = async (): Promise<ReceivedEvent | undefined> => {
    for (;;) {
      const end = buffered.indexOf('\n\n')
      if (end >= 0) {
        const block = buffered.slice(0, end)
        buffered = buffered.slice(end + 2)
        const event = parse(block)
        if (event) return event
        comments += 1
        continue
      }
      const { done, value } = await reader.read()
      if (done) return undefined
      buffered += value
    }
  }

  return {
    headers: response.headers,
    /** The next event; throws when the stream ends before. */
    next: async (): Promise<ReceivedEvent> => {
      const event = await read()
      if (!event) throw new Error('the stream ended')
      return event
    },
    /** Whether the stream ends without another event. */
    ended: async (): Promise<boolean> => (await read()) === undefined,
    comments: () => comments,
    leave: () => abort.abort(),
  }
}

function parse(block: string): ReceivedEvent | undefined {
  const event: ReceivedEvent = { data: '' }
  const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('id: ')) event.id = line.slice(4)
    else if (line.startsWith('event: ')) event.event = line.slice(7)
    else if (line.startsWith('data: ')) data.push(line.slice(6))
  }
  return data.length === 0 ? undefined : { ...event, data: data.join('\n') }
}
