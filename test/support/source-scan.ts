/** One import or re-export of a source file. */
export interface Import {
  specifier: string
  /** Nothing of it is left at run time. */
  typeOnly: boolean
  /** The names that it takes, before any `as`; `*` for the whole, `default` for the default export. */
  names: string[]
}

export interface Source {
  imports: Import[]
  /** The text with the contents of comments, strings and regular expressions blanked, offsets and lines unchanged. */
  code: string
}

/** Reads the imports of a TypeScript file: static, re-exported and dynamic ones with a literal specifier. */
export function scanSource(text: string): Source {
  const code = blankText(text)
  return { imports: [...staticImports(text, code), ...dynamicImports(text, code)], code }
}

// Quotes stay in the blanked text and their contents become spaces, so these match code only.
const STATIC = /(?:^|[;\n}])\s*(import|export)\s+(?:([\w$*{}\s,]*?)\s*\bfrom\s*)?(['"])( *)\3/g
const DYNAMIC = /\bimport\s*\(\s*(['"`])( *)\1/g

function staticImports(text: string, code: string): Import[] {
  return [...code.matchAll(STATIC)].flatMap((match): Import[] => {
    const [whole, keyword, clause = '', , inner = ''] = match
    if (keyword === 'export' && clause === '') return []
    const end = match.index + whole.length - 1
    return [{ specifier: text.slice(end - inner.length, end), ...readClause(clause) }]
  })
}

function dynamicImports(text: string, code: string): Import[] {
  return [...code.matchAll(DYNAMIC)].map((match) => {
    const end = match.index + match[0].length - 1
    return { specifier: text.slice(end - (match[2] ?? '').length, end), typeOnly: false, names: ['*'] }
  })
}

/** `type { A }`, `{ type A, B as C }`, `Default, * as Whole` or nothing at all. */
function readClause(clause: string): { typeOnly: boolean; names: string[] } {
  const wholeIsType = /^type\b(?!\s*,)\s*[\w$*{]/.test(clause)
  const body = wholeIsType ? clause.replace(/^type\b/, '') : clause
  const braces = /\{([^}]*)\}/.exec(body)
  const outside = body.replace(/\{[^}]*\}/, '').split(',')
  const inside = (braces?.[1] ?? '').split(',')
  const named = inside.map((item) => item.trim()).filter((item) => item !== '')
  const others = outside.map((item) => item.trim()).filter((item) => item !== '')
  const names = [
    ...others.map((item) => (item.startsWith('*') ? '*' : 'default')),
    ...named.map((item) => item.replace(/^type\s+/, '').replace(/\s+as\s.*$/s, '')),
  ]
  const everyNameIsType =
    named.length > 0 && others.length === 0 && named.every((item) => /^type\s+\w/.test(item))
  return { typeOnly: wholeIsType || everyNameIsType, names }
}

/** After one of these a slash begins a regular expression, otherwise it divides. */
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|void|delete|throw|new|else|do|await|yield))\s*$/

function blankText(text: string): string {
  const out = text.split('')
  const blank = (from: number, to: number): void => {
    for (let at = from; at < to; at += 1) if (out[at] !== '\n') out[at] = ' '
  }
  // One number per open template literal: how deep in braces its present `${` is.
  const templates: number[] = []
  let at = 0
  while (at < text.length) {
    const here = text[at]
    const two = text.slice(at, at + 2)
    let end = at + 1
    if (two === '//' || two === '/*') {
      const close = two === '//' ? text.indexOf('\n', at) : text.indexOf('*/', at + 2) + 2
      end = close < at + 2 ? text.length : close
      blank(at, end)
    } else if (here === "'" || here === '"') {
      end = endOfQuoted(text, at + 1, here)
      blank(at + 1, end - 1)
    } else if (here === '/' && BEFORE_REGEX.test(out.slice(Math.max(0, at - 40), at).join(''))) {
      end = endOfRegex(text, at + 1)
      blank(at + 1, end - 1)
    } else if (here === '`' || (here === '}' && templates.at(-1) === 0)) {
      if (here === '}') templates.pop()
      end = endOfTemplatePart(text, at + 1)
      const opens = text[end - 1] === '{'
      if (opens) templates.push(0)
      blank(at + 1, end - (opens ? 2 : 1))
    } else if (templates.length > 0 && (here === '{' || here === '}')) {
      templates.push((templates.pop() ?? 0) + (here === '{' ? 1 : -1))
    }
    at = end
  }
  return out.join('')
}

/** The offset behind the closing quote. */
function endOfQuoted(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === quote) return at + 1
  }
  return text.length
}

function endOfRegex(text: string, from: number): number {
  let inClass = false
  for (let at = from; at < text.length; at += 1) {
    const here = text[at]
    if (here === '\\') at += 1
    else if (here === '[') inClass = true
    else if (here === ']') inClass = false
    else if (here === '/' && !inClass) return at + 1
    else if (here === '\n') return at
  }
  return text.length
}

/** The offset behind the closing backtick or behind the next `${`. */
function endOfTemplatePart(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1
    else if (text[at] === '`') return at + 1
    else if (text[at] === '$' && text[at + 1] === '{') return at + 2
  }
  return text.length
}
