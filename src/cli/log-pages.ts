import type { Client } from './client.ts'
import type { Output } from './output.ts'
import type { LogLine } from './wire.ts'

/** The most lines that the server puts into one page. */
const LARGEST_PAGE = 10_000
/** What is kept of pages that are passed over on the way back, in characters of lines. */
const MOST_KEPT = 16 * 1024 ** 2
/** What a line costs beside its text. */
const LINE_COST = 200
/** A page holds thousands of lines, or megabytes: more than any server keeps. */
const MOST_PAGES = 10_000

export interface LogFilter {
  since: string | undefined
  replica: number | undefined
  grep: string | undefined
}

interface SeenPage {
  path: string
  count: number
  /** Undefined when it has to be fetched again. */
  lines: LogLine[] | undefined
}

/**
 * The newest `wanted` lines of a service that pass the filter, oldest first, page by page. The server turns pages backwards: they are counted first, and
 * those that do not fit into a bounded memory are fetched again when it is their turn.
 */
export async function* readServiceLog(
  client: Client,
  id: string,
  filter: LogFilter,
  wanted: number,
  output: Pick<Output, 'warn'>,
): AsyncGenerator<readonly LogLine[], void, undefined> {
  const input = { params: { id }, query: { tail: Math.min(wanted, LARGEST_PAGE), ...filter } }
  const fetch = (path?: string) => client.page('GET /v1/services/{id}/logs', input, path)
  const { pages, isAll } = await findPages(fetch, wanted)
  if (!isAll) output.warn('there are older lines, which are left out')
  for (let page = pages.pop(); page; page = pages.pop()) {
    const lines = page.lines ?? (await fetch(page.path)).items.slice(-page.count)
    if (lines.length < page.count)
      output.warn(`${page.count - lines.length} lines are left out: the server has removed them meanwhile`)
    yield lines
  }
}

/** The pages that hold the lines, the newest first. */
async function findPages(
  fetch: (path?: string) => Promise<{ path: string; items: LogLine[]; next: string | undefined }>,
  wanted: number,
): Promise<{ pages: SeenPage[]; isAll: boolean }> {
  const pages: SeenPage[] = []
  let left = wanted
  let room = MOST_KEPT
  let next: string | undefined
  do {
    const page = await fetch(next)
    const lines = page.items.slice(-left)
    room -= lines.reduce((sum, { line }) => sum + line.length + LINE_COST, 0)
    pages.push({ path: page.path, count: lines.length, lines: room >= 0 ? lines : undefined })
    left -= lines.length
    next = page.next
  } while (next !== undefined && left > 0 && pages.length < MOST_PAGES)
  return { pages, isAll: next === undefined || left === 0 }
}
