import { plain, plainJson, plainLines } from './plain-text.ts'
import { createStandardOutput, type FileStream } from './standard-output.ts'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

const STYLES: Readonly<Record<Style, readonly [begin: number, end: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
}

/** Where a command writes. Data goes to stdout; what is said about it to stderr. What writes data throws a CliError when stdout does not take all of it. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  /** Whether stdout is a terminal, coloured or not. */
  readonly isTerminal: boolean
  /** Whether colours of applications may reach stdout, or stderr. */
  readonly coloursOut: boolean
  readonly coloursErr: boolean
  /** The result: as JSON, or as the text that `show` makes of it (nothing when that is empty). */
  data(value: unknown, show: () => string): void
  /** One line of a stream of data; `value` is the whole of it for JSON lines. */
  dataLine(value: unknown, line: string): void
  /** Text that is no data: help. */
  text(text: string): void
  /** Bytes of data as they are. Resolves when more may be written. */
  raw(bytes: Uint8Array): Promise<void>
  /** Resolves when as many lines of data as came so far may be followed by more: keeps a long stream from piling up in memory. */
  drained(): Promise<void>
  /** Brings what was written to the disk, if stdout is a file. */
  sync(): Promise<void>
  /** A remark, left out when quiet. */
  note(text: string): void
  /** Something that the user should know, also when quiet. */
  warn(text: string): void
  /** Styled for stdout, when that is a terminal. The text must be plain already. */
  paint(style: Style, text: string): string
  /** Styled for stderr. */
  paintErr(style: Style, text: string): string
  /** A table for people; rows of plain or painted cells. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): string
}

export interface OutputOptions {
  stdout: FileStream
  stderr: NodeJS.WriteStream
  json: boolean
  quiet: boolean
  noColour: boolean
}

/** Makes the output of a command. Colours only go to terminals. */
export function createOutput({ stdout, stderr, json, quiet, noColour }: OutputOptions): Output {
  const target = createStandardOutput(stdout)
  const coloursOut = target.isTerminal && !noColour
  const coloursErr = stderr.isTTY && !noColour
  const say = (text: string): void =>
    void stderr.write(`${coloursErr ? plainStyled(text) : plainLines(text)}\n`)
  const paintErr = (style: Style, text: string): string => (coloursErr ? styled(style, text) : text)
  return {
    json,
    quiet,
    isTerminal: target.isTerminal,
    coloursOut,
    coloursErr,
    data: (value, show) => {
      const text = json ? plainJson(value, 2) : show()
      if (text !== '') target.write(`${text}\n`)
    },
    dataLine: (value, line) => target.write(`${json ? plainJson(value, 0) : line}\n`),
    text: (text) => target.write(`${text}\n`),
    raw: async (bytes) => {
      target.write(bytes)
      await target.drained()
    },
    drained: target.drained,
    sync: target.sync,
    note: (text) => {
      if (!quiet) say(text)
    },
    warn: (text) => say(`${paintErr('yellow', 'warning:')} ${text}`),
    paint: (style, text) => (coloursOut ? styled(style, text) : text),
    paintErr,
    table: (head, rows) => formatTable(coloursOut ? head.map((cell) => styled('dim', cell)) : head, rows),
  }
}

function styled(style: Style, text: string): string {
  const [begin, end] = STYLES[style]
  return `${ESCAPE}[${begin}m${text}${ESCAPE}[${end}m`
}

const ESCAPE = '\u001B'
const OWN_STYLE = new RegExp(`(${ESCAPE}\\[(?:1|2|22|31|32|33|36|39)m)`)

/** Remarks quote the server: what is not a style of ours is made harmless. */
function plainStyled(text: string): string {
  return text
    .split(OWN_STYLE)
    .map((part, index) => (index % 2 === 1 ? part : plainLines(part)))
    .join('')
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => visibleWidth(row[column] ?? ''))))
  return all
    .map((row) =>
      widths
        .map((width, column) => {
          const cell = row[column] ?? ''
          return cell + ' '.repeat(width - visibleWidth(cell))
        })
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

function visibleWidth(cell: string): number {
  return cell
    .split(OWN_STYLE)
    .filter((_, index) => index % 2 === 0)
    .join('').length
}

/** A cell of text from elsewhere; a dash for nothing. */
export function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  return plain(typeof value === 'string' ? value : (JSON.stringify(value) ?? '-'))
}
