import { make } from './elements.js'

const LONGEST_SHOWN = 200_000

/** Sends the request and shows what comes back as it comes: streams too. */
export async function showAnswer(request, output, signal) {
  output.replaceChildren(make('p', { textContent: 'Waiting…' }))
  try {
    const response = await fetch(request.url, { ...request.options, signal })
    const head = `${response.status} ${response.statusText}`.trim()
    const shown = make('pre')
    output.replaceChildren(make('p', { className: response.ok ? '' : 'bad', textContent: head }), shown)
    if (response.body) shown.textContent = pretty(await readInto(shown, response.body))
  } catch (error) {
    if (!signal.aborted) output.replaceChildren(make('p', { className: 'bad', textContent: String(error) }))
  }
}

async function readInto(shown, body) {
  let text = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    shown.textContent = text
    if (text.length > LONGEST_SHOWN) break
  }
  return text
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
