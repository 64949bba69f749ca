import { showAnswer } from './answer.js'
import { byId, make } from './elements.js'
import { curlCommand, requestOf } from './request.js'

/** Follows a reference inside the document. */
function resolve(document, value) {
  if (value?.$ref === undefined) return value
  const keys = value.$ref.slice('#/'.length).split('/')
  return keys.reduce((at, key) => at[key], document)
}

function makeInput(id, { schema, example }) {
  if (!schema.enum) {
    const placeholder = String(example ?? schema.default ?? '')
    return make('input', { id, placeholder, spellcheck: false, autocomplete: 'off' })
  }
  const choices = schema.enum.map((each) => make('option', { textContent: each }))
  return make('select', { id }, make('option', { value: '' }), ...choices)
}

function makeField(parameter) {
  const id = `field-${parameter.name}`
  const input = makeInput(id, parameter)
  const label = make('label', { for: id, textContent: `${parameter.name}${parameter.required ? ' *' : ''}` })
  const note = parameter.description && make('small', { textContent: parameter.description })
  return { parameter, input, row: make('div', { className: 'field' }, label, input, note || undefined) }
}

function jsonBlock(value) {
  return make('pre', { textContent: JSON.stringify(value, null, 2) })
}

function answerTable(document, operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const { description } = resolve(document, answer)
    return make('tr', {}, make('td', { textContent: status }), make('td', { textContent: description }))
  })
  return make('table', {}, make('tbody', {}, ...rows))
}

function schemaParts(document, operation, json) {
  const answer = Object.values(operation.responses)
    .map((each) => resolve(document, each).content?.['application/json'])
    .find((each) => each?.example !== undefined)
  return [
    ...(answer ? [make('h3', { textContent: 'Example answer' }), jsonBlock(answer.example)] : []),
    ...(json
      ? [make('h3', { textContent: 'Schema of the body' }), jsonBlock(resolve(document, json.schema))]
      : []),
  ]
}

/** What stands between backticks as code. */
function withCode(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? make('code', { textContent: part }) : part))
}

async function copy(block, button) {
  try {
    await navigator.clipboard.writeText(block.textContent)
    button.textContent = 'Copied'
  } catch {
    // Without TLS browsers have no clipboard: select it for the user.
    getSelection().selectAllChildren(block)
    button.textContent = 'Selected: press Ctrl+C'
  }
}

function paragraphs(text) {
  return (text ?? '')
    .split('\n\n')
    .filter(Boolean)
    .map((each) => make('p', {}, ...withCode(each)))
}

let leaving = new AbortController()

/** Shows an operation with a form for its request; what ran for the one before is given up. */
export function showOperation(document, operation) {
  leaving.abort()
  leaving = new AbortController()
  const { signal } = leaving
  const fields = operation.parameters.map((parameter) => makeField(resolve(document, parameter)))
  const json = operation.requestBody?.content['application/json']
  const body =
    json && make('textarea', { id: 'body', spellcheck: false, value: JSON.stringify(json.example, null, 2) })
  const curl = make('pre', { id: 'curl' })
  const output = make('div', { id: 'answer', 'aria-live': 'polite' })
  const current = () =>
    requestOf(operation, {
      values: Object.fromEntries(fields.map(({ parameter, input }) => [parameter.name, input.value.trim()])),
      parameters: fields.map(({ parameter }) => parameter),
      body: body?.value,
      token: byId('token').value.trim(),
      origin: location.origin,
    })
  const refresh = () => {
    curl.textContent = curlCommand(current())
  }
  const copyButton = make('button', { id: 'copy', type: 'button', textContent: 'Copy' })
  copyButton.addEventListener('click', () => copy(curl, copyButton))
  const send = make('button', { id: 'send', type: 'button', textContent: 'Send' })
  send.addEventListener('click', () => showAnswer(current(), output, signal))
  if (current().needsFile) {
    send.disabled = true
    output.append(make('p', { textContent: 'This takes a file as its body: use the command above.' }))
  }

  const main = byId('operation')
  main.replaceChildren(
    make('h2', { textContent: operation.summary }),
    make('p', { className: 'path', textContent: `${operation.method} ${operation.path}` }),
    ...paragraphs(operation.description),
    ...(fields.length > 0
      ? [make('h3', { textContent: 'Parameters' }), ...fields.map(({ row }) => row)]
      : []),
    ...(body ? [make('h3', {}, make('label', { for: 'body', textContent: 'Body' })), body] : []),
    make('h3', { textContent: 'curl' }),
    curl,
    copyButton,
    make('h3', { textContent: 'Try it' }),
    send,
    output,
    make('h3', { textContent: 'Answers' }),
    answerTable(document, operation),
    ...schemaParts(document, operation, json),
  )
  main.addEventListener('input', refresh, { signal })
  byId('token').addEventListener('input', refresh, { signal })
  refresh()
  main.scrollTop = 0
  window.document.title = `${operation.summary} · Berth API`
}
