import { COMMON_OPTIONS } from './arguments.ts'
import type { AnyVerb, Options, VerbGroup } from './verb.ts'

const WIDTH = 92

/** The help of one verb. */
export function verbHelp(verb: AnyVerb): string {
  const own = Object.keys(verb.options).length > 0 ? ['', 'Options:', ...optionLines(verb.options)] : []
  return [
    `Usage: berth ${verb.usage}`,
    '',
    ...wrap(verb.about, WIDTH),
    ...own,
    '',
    'Options of every command:',
    ...optionLines(COMMON_OPTIONS),
    '',
    verb.examples.length > 1 ? 'Examples:' : 'Example:',
    ...verb.examples.map((line) => `  ${line}`),
  ].join('\n')
}

/** The help of a word that stands for several verbs. */
export function groupHelp(name: string, { about, verbs }: VerbGroup): string {
  const rows = Object.values(verbs).map((verb) => [`berth ${verb.usage}`, firstSentence(verb.about)] as const)
  return [`Usage: berth ${name} COMMAND`, '', ...wrap(about, WIDTH), '', 'Commands:', ...columns(rows)].join(
    '\n',
  )
}

/** Two columns, the second one wrapped. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(44, Math.max(...rows.map(([left]) => left.length)))
  const indent = ' '.repeat(width + 4)
  return rows.flatMap(([left, right]) => {
    const [first = '', ...rest] = wrap(right, Math.max(40, WIDTH - width - 4))
    const head =
      left.length > width ? [`  ${left}`, `${indent}${first}`] : [`  ${left.padEnd(width)}  ${first}`]
    return [...head, ...rest.map((line) => `${indent}${line}`)]
  })
}

function optionLines(options: Options): string[] {
  return columns(
    Object.entries(options).map(([name, { short, type, value, about, multiple }]) => {
      const shown = `${short ? `-${short}, ` : '    '}--${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}`
      return [shown, multiple ? `${about}; may be repeated` : about] as const
    }),
  )
}

/** Up to the first full stop that ends a sentence: that of `.env` or `x.509` does not. */
function firstSentence(text: string): string {
  return /^.*?(?=\.(?:\s|$))/.exec(text)?.[0] ?? text
}

function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = ['']
    for (const word of paragraph.split(' ')) {
      const line = lines.at(-1) ?? ''
      if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
      else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
    }
    return lines
  })
}
