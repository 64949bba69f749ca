import { byId, make } from './elements.js'
import { showOperation } from './operation.js'

const METHODS = ['get', 'post', 'put', 'patch', 'delete']

function listOperations(document) {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) =>
      Object.assign({ path, method: method.toUpperCase() }, item[method]),
    ),
  )
}

function linkTo(operation, current) {
  const { operationId, method, path, summary } = operation
  const verb = make('span', { className: 'method', textContent: method })
  const link = make('a', { href: `#${operationId}`, title: `${method} ${path}` }, verb, summary)
  if (operationId === current) link.setAttribute('aria-current', 'page')
  return link
}

function showList(operations, filter, current) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const fits = ({ method, path, summary, operationId }) => {
    const text = `${method} ${path} ${summary} ${operationId}`.toLowerCase()
    return words.every((word) => text.includes(word))
  }
  const groups = Map.groupBy(operations.filter(fits), (operation) => operation.tags[0] ?? '')
  const list = byId('operations')
  list.replaceChildren()
  for (const [tag, items] of groups) {
    list.append(make('h2', { textContent: tag }))
    for (const operation of items) list.append(linkTo(operation, current))
  }
}

async function start() {
  const response = await fetch('/v1/openapi.json')
  if (!response.ok) throw new Error(`/v1/openapi.json answered ${response.status}`)
  const document = await response.json()
  const operations = listOperations(document)
  byId('version').textContent = `version ${document.info.version}`
  const show = () => {
    const wanted = location.hash.slice(1)
    const operation = operations.find((each) => each.operationId === wanted) ?? operations[0]
    showList(operations, byId('filter').value, operation.operationId)
    byId('operations').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' })
    showOperation(document, operation)
  }
  addEventListener('hashchange', show)
  byId('filter').addEventListener('input', () => {
    showList(operations, byId('filter').value, location.hash.slice(1))
  })
  show()
}

try {
  await start()
} catch (error) {
  byId('state').textContent = `The description of the API could not be loaded: ${String(error)}`
}
