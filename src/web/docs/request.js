/** Puts what was filled in together: a URL and what fetch needs. */
export function requestOf(operation, { values, parameters, body, token, origin }) {
  const rawType = Object.keys(operation.requestBody?.content ?? {}).find(
    (type) => type !== 'application/json',
  )
  const isRaw = rawType !== undefined && body === undefined
  let path = operation.path
  const query = new URLSearchParams()
  const headers = {}
  for (const { name, in: place } of parameters) {
    const value = values[name] ?? ''
    if (place === 'path')
      path = path.replace(`{${name}}`, value === '' ? `{${name}}` : encodeURIComponent(value))
    else if (value === '') continue
    else if (place === 'query') query.set(name, value)
    else headers[name] = value
  }
  if (token !== '') headers['Authorization'] = `Bearer ${token}`
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (isRaw) headers['Content-Type'] = rawType
  const search = query.size > 0 ? `?${query}` : ''
  return {
    url: `${origin}${path}${search}`,
    needsToken: operation.security.length > 0,
    // A page has no file at hand: such a request is for the shell.
    needsFile: isRaw,
    options: { method: operation.method, headers, ...(body === undefined ? {} : { body }) },
  }
}

/** The same request for a shell. The token stays out of it: shells keep what was typed. */
export function curlCommand({ url, needsToken, needsFile, options }) {
  const { method, headers, body } = options
  const parts = ['curl', ...(method === 'GET' ? [] : ['-X', method]), quote(url)]
  const lines = [parts.join(' ')]
  if (needsToken) lines.push('-H "Authorization: Bearer $BERTH_TOKEN"')
  for (const [name, value] of Object.entries(headers)) {
    if (name !== 'Authorization') lines.push(`-H ${quote(`${name}: ${value}`)}`)
  }
  if (body !== undefined) lines.push(`-d ${quote(compact(body))}`)
  if (needsFile) lines.push('--data-binary @FILE')
  return lines.join(' \\\n  ')
}

function compact(body) {
  try {
    return JSON.stringify(JSON.parse(body))
  } catch {
    return body
  }
}

function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
