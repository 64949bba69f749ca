import { join } from 'node:path'
import type { System } from '../../lib/system.ts'
import type { ChildLimits } from './child-process.ts'
import { createOutputLines, isProgress, runGit } from './git-command.ts'
import { explainFailure, GitCommandFailed, gitFailed, showText } from './git-failure.ts'
import { candidatesOf, describeRef, type GitRef } from '../../lib/git-ref.ts'
import type { Remote } from './remote.ts'
import { hostLabel } from '../../lib/repository-url.ts'
import { sizeOf, tooLarge, watchTransfer } from './transfer-watch.ts'

export interface FetchDeps {
  system: System
  stall_ms: number
}

export interface FetchRequest {
  remote: Remote
  ref: GitRef
  /** How much may still be fetched. */
  max_bytes: number
  log: (line: string) => void
  signal: AbortSignal
}

export interface Fetched {
  commit: string
  /** The whole name of the ref that was deployed; null for a commit. */
  ref: string | null
  /** Of the packs. */
  bytes: number
}

/** Where git keeps what was fetched: a name of ours, so that no ref of the server stands in for another. */
const FETCHED = 'refs/berth/source'
const MEMORY_BYTES = 4 * 1024 ** 3
const PROGRESS_MS = 5_000
const MAX_SHOWN_LINES = 50
const OBJECT = /^[0-9a-f]{40,64}$/

/** Fetches one commit, without history where the server can do that, into the remote's folder. */
export async function fetchRepository(deps: FetchDeps, request: FetchRequest): Promise<Fetched> {
  const { remote, ref } = request
  try {
    const found = ref.kind === 'commit' ? undefined : await findRef(request, ref)
    await git(request, [
      'init',
      '-q',
      '--bare',
      '--template=',
      `--object-format=${formatOf(ref, found?.object)}`,
      '.',
    ])
    if (ref.kind === 'commit') await fetchCommit(deps, request, ref.commit)
    else if (found) await transfer(deps, request, ['--depth', '1'], [`+${found.name}:${FETCHED}`])
    const commit = (
      await git(request, ['rev-parse', '--verify', '-q', '--end-of-options', `${FETCHED}^{commit}`])
    ).trim()
    return { commit, ref: found?.full ?? null, bytes: await sizeOf(packsOf(remote)) }
  } catch (error) {
    throw error instanceof GitCommandFailed ? explainFailure(hide(remote, error), remote.facts) : error
  }
}

function hide({ masker }: Remote, error: GitCommandFailed): GitCommandFailed {
  return new GitCommandFailed(error.lines.map((line) => masker.mask(line)))
}

function packsOf(remote: Remote): string {
  return join(remote.folder, 'objects', 'pack')
}

function limitsOf(request: FetchRequest): ChildLimits {
  return { memory_bytes: MEMORY_BYTES, file_bytes: request.max_bytes }
}

function git(
  request: FetchRequest,
  args: readonly string[],
  onOutput?: (chunk: Buffer) => void,
): Promise<string> {
  const { remote, signal } = request
  const command = { args, cwd: remote.folder, env: remote.env, limits: limitsOf(request), signal }
  return runGit({ ...command, ...(onOutput && { onOutput }) })
}

interface FoundRef {
  /** What the server is asked for. */
  name: string
  /** The name to show: what HEAD points to, where the server says so. */
  full: string
  object: string
}

async function findRef(request: FetchRequest, ref: Exclude<GitRef, { kind: 'commit' }>): Promise<FoundRef> {
  const { remote } = request
  const names = candidatesOf(ref)
  const listed = await listRefs(request, names)
  const name = names.find((each) => listed.objects.has(each))
  if (name === undefined)
    throw gitFailed(
      ref.kind === 'default'
        ? `The repository ${showText(remote.url.path)} on ${hostLabel(remote.url)} is empty.`
        : `The repository has no ${ref.kind === 'name' ? 'branch or tag' : 'ref'} ${describeRef(ref)}.`,
    )
  return {
    name,
    full: name === 'HEAD' ? (listed.head ?? name) : name,
    object: listed.objects.get(name) ?? '',
  }
}

async function listRefs(
  request: FetchRequest,
  names: readonly string[],
): Promise<{ objects: Map<string, string>; head: string | undefined }> {
  const objects = new Map<string, string>()
  let head: string | undefined
  const listed = git(
    request,
    ['ls-remote', '-q', '--symref', '--', request.remote.url.text, ...names],
    createOutputLines((line) => {
      const [left = '', name = ''] = line.split('\t')
      if (left.startsWith('ref: ')) head ??= name === 'HEAD' ? left.slice('ref: '.length) : undefined
      // The patterns match the ends of names too, of as many as a server likes to have.
      else if (names.includes(name) && OBJECT.test(left)) objects.set(name, left)
    }),
  )
  await settled(request.remote, listed)
  return { objects, head }
}

function formatOf(ref: GitRef, object: string | undefined): 'sha1' | 'sha256' {
  return (ref.kind === 'commit' ? ref.commit : (object ?? '')).length === 64 ? 'sha256' : 'sha1'
}

/** A server may refuse what no ref points to; then everything is fetched that refs lead to. */
async function fetchCommit(deps: FetchDeps, request: FetchRequest, commit: string): Promise<void> {
  try {
    await settled(request.remote, transfer(deps, request, ['--depth', '1'], [`+${commit}:${FETCHED}`]))
    return
  } catch (error) {
    if (!(error instanceof GitCommandFailed) || !isNotOffered(error)) throw error
  }
  request.log('The server does not give out single commits; fetching all branches and tags.')
  await transfer(deps, request, [], ['+refs/heads/*:refs/berth/heads/*', '+refs/tags/*:refs/berth/tags/*'])
  try {
    await git(request, ['update-ref', FETCHED, `${commit}^{commit}`])
  } catch (error) {
    if (!(error instanceof GitCommandFailed)) throw error
    throw gitFailed(`The repository has no commit ${commit}; a force push may have removed it.`, error)
  }
}

function isNotOffered(error: GitCommandFailed): boolean {
  return /not our ref|unadvertised object|couldn't find remote ref|no such remote ref/i.test(
    error.lines.join('\n'),
  )
}

/** Waits for the first connection of a job; whatever came of it, the host has shown its key. */
async function settled<T>(remote: Remote, connection: Promise<T>): Promise<T> {
  try {
    return await connection
  } finally {
    await remote.settle()
  }
}

const FETCH = [
  'fetch',
  '--progress',
  '--no-tags',
  '--no-recurse-submodules',
  '--no-auto-maintenance',
  '--no-write-fetch-head',
  '--no-show-forced-updates',
]

/** `git fetch` under watch: its size, its silence, and now and then a line that says how far it is. */
async function transfer(
  deps: FetchDeps,
  request: FetchRequest,
  options: readonly string[],
  refspecs: readonly string[],
): Promise<void> {
  const { remote, max_bytes } = request
  const watch = watchTransfer(deps.system, {
    folder: packsOf(remote),
    max_bytes,
    stall_ms: deps.stall_ms,
    host: hostLabel(remote.url),
  })
  const show = createProgressLog(deps.system, (line) => request.log(remote.masker.mask(line)))
  try {
    await runGit({
      args: [...FETCH, ...options, '--', remote.url.text, ...refspecs],
      cwd: remote.folder,
      env: remote.env,
      limits: limitsOf(request),
      signal: AbortSignal.any([request.signal, watch.signal]),
      onLine: (line) => {
        watch.note()
        show(line)
      },
    })
  } catch (error) {
    // The kernel stops the file at the limit, mostly before it was looked at.
    const isFull = error instanceof GitCommandFailed && (await sizeOf(packsOf(remote))) >= max_bytes
    throw isFull ? gitFailed(tooLarge(max_bytes), error) : error
  } finally {
    await watch.stop()
  }
  if ((await sizeOf(packsOf(remote))) > max_bytes) throw gitFailed(tooLarge(max_bytes))
}

/** Shows what the server says, and of the progress one line in a few seconds. */
function createProgressLog(system: System, log: (line: string) => void): (line: string) => void {
  let shownAt = system.monotonic()
  let shown = 0
  return (line) => {
    if (isProgress(line)) {
      if (system.monotonic() - shownAt < PROGRESS_MS) return
      shownAt = system.monotonic()
    } else if (!line.startsWith('remote: ') || shown++ >= MAX_SHOWN_LINES) return
    log(showText(line))
  }
}
