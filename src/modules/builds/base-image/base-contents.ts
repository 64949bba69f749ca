import { execFile } from 'node:child_process'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { promisify } from 'node:util'
import { systemCodeOf } from '../../../lib/errors.ts'
import { completeRootfs, type RootfsEntry } from './rootfs.ts'
import { findLinkedLibraries, type LinkedProgram } from './shared-libraries.ts'

export interface BaseContents {
  entries: RootfsEntry[]
  env: Record<string, string>
  has_shell: boolean
}

export interface BaseSources {
  node: string
  npm: string
  busybox: string
}

/** The Node.js that runs this, the npm that Berth brings, and the shell of Debian's busybox-static. */
export function ownSources(): BaseSources {
  return {
    node: process.execPath,
    npm: dirname(createRequire(import.meta.url).resolve('npm/package.json')),
    busybox: '/bin/busybox',
  }
}

/** Loaded by name when names are looked up, or wanted by prebuilt native modules of npm packages. */
const LOADED_BY_NAME = [
  'libnss_files.so.2',
  'libnss_dns.so.2',
  'libresolv.so.2',
  'libpthread.so.0',
  'librt.so.1',
  'libutil.so.1',
  'libatomic.so.1',
]

const CERTIFICATES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]
const CERTIFICATES_IN_IMAGE = 'etc/ssl/certs/ca-certificates.crt'
const APPLET_TIMEOUT_MS = 10_000
/** The user of applications; images with Node.js have theirs under the same number. */
const APP_USER = 1000

/** Gathers the base image from what runs on this machine: nothing is fetched. */
export async function gatherBaseContents(sources: BaseSources): Promise<BaseContents> {
  const node = await realpath(sources.node)
  const busybox = await existing(sources.busybox)
  const certificates = await firstExisting(CERTIFICATES)
  const entries = [
    ...skeleton(),
    ...(await programEntries('usr/bin/node', node)),
    ...(await npmEntries(sources.npm)),
    ...(busybox === undefined ? [] : await busyboxEntries(busybox)),
    ...(certificates === undefined ? [] : [await fileEntry(CERTIFICATES_IN_IMAGE, certificates, 0o644)]),
  ]
  return {
    entries: completeRootfs(entries),
    env: environment(certificates !== undefined),
    has_shell: busybox !== undefined,
  }
}

function environment(hasCertificates: boolean): Record<string, string> {
  const certificates = `/${CERTIFICATES_IN_IMAGE}`
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    NODE_VERSION: process.versions.node,
    // Node.js brings certificates of its own; this adds those that the operator trusts.
    ...(hasCertificates ? { NODE_EXTRA_CA_CERTS: certificates, SSL_CERT_FILE: certificates } : {}),
  }
}

function skeleton(): RootfsEntry[] {
  const folder = (name: string, mode = 0o755, owner = 0): RootfsEntry => ({
    kind: 'directory',
    name,
    mode,
    owner,
  })
  const link = (name: string, target: string): RootfsEntry => ({ kind: 'symlink', name, target, mode: 0o777 })
  const text = (name: string, content: string): RootfsEntry => ({
    kind: 'file',
    name,
    mode: 0o644,
    content: Buffer.from(content),
  })
  return [
    ...[
      'usr/bin',
      'usr/sbin',
      'usr/lib',
      'usr/lib64',
      'usr/local/bin',
      'etc',
      'run',
      'srv',
      'var',
      'opt',
    ].map((name) => folder(name)),
    // The programs and libraries of a distribution name both places.
    ...['bin', 'sbin', 'lib', 'lib64'].map((name) => link(name, `usr/${name}`)),
    folder('root', 0o700),
    folder('tmp', 0o1777),
    folder('var/tmp', 0o1777),
    folder('home/node', 0o755, APP_USER),
    folder('app', 0o755, APP_USER),
    text(
      'etc/passwd',
      `root:x:0:0:root:/root:/bin/sh\nnode:x:${APP_USER}:${APP_USER}::/home/node:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n`,
    ),
    text('etc/group', `root:x:0:\nnode:x:${APP_USER}:\nnogroup:x:65534:\n`),
    text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
  ]
}

async function programEntries(name: string, file: string): Promise<RootfsEntry[]> {
  const linked = await findLinkedLibraries(file, LOADED_BY_NAME)
  return [await fileEntry(name, file, 0o755), ...(await libraryEntries(linked))]
}

/**
 * Loader and libraries. All libraries go where the C library is, a folder that its loader searches by itself: the image has no cache of
 * other folders (ldconfig(8)).
 */
async function libraryEntries({ loader, libraries }: LinkedProgram): Promise<RootfsEntry[]> {
  if (!loader) return []
  const home = libraries.find(({ name }) => /^libc\.(so\.6|musl-.*)$/.test(name)) ?? loader
  const folder = posix.dirname(home.path)
  return Promise.all([
    fileEntry(inImage(loader.path), loader.file, 0o755),
    ...libraries.map(({ name, file }) => fileEntry(inImage(`${folder}/${name}`), file, 0o644)),
  ])
}

/** Where a path of a distribution lies in the image, whose `/lib` and the like are links into `/usr`. */
function inImage(path: string): string {
  return path.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/').slice(1)
}

/** npm without its manual, and its launchers. */
async function npmEntries(folder: string): Promise<RootfsEntry[]> {
  const home = 'usr/lib/node_modules/npm'
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const wanted = files
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((path) => !/^(docs|man)\//.test(path))
  const link = (name: string): RootfsEntry => ({
    kind: 'symlink',
    name: `usr/bin/${name}`,
    target: `../lib/node_modules/npm/bin/${name}-cli.js`,
    mode: 0o777,
  })
  const entries: RootfsEntry[] = [link('npm'), link('npx')]
  for (const path of wanted)
    entries.push(await fileEntry(`${home}/${path}`, join(folder, path), isLauncher(path) ? 0o755 : 0o644))
  return entries
}

function isLauncher(path: string): boolean {
  return (
    path.startsWith('bin/') ||
    path.includes('/node-gyp/gyp/') ||
    path.includes('/bin/') ||
    path.includes('node-gyp-bin/')
  )
}

/** A shell and the tools that scripts call. */
async function busyboxEntries(busybox: string): Promise<RootfsEntry[]> {
  const { stdout } = await promisify(execFile)(busybox, ['--list'], { timeout: APPLET_TIMEOUT_MS, env: {} })
  const applets = stdout.split('\n').filter((name) => /^[\w.[-]+$/.test(name) && name !== 'busybox')
  return [
    ...(await programEntries('usr/bin/busybox', busybox)),
    ...applets.map((name): RootfsEntry => ({
      kind: 'symlink',
      name: `usr/bin/${name}`,
      target: 'busybox',
      mode: 0o777,
    })),
  ]
}

const SMALL_FILE_BYTES = 64 * 1024

async function fileEntry(name: string, file: string, mode: number): Promise<RootfsEntry> {
  const { size } = await stat(file)
  const common = { kind: 'file', name, mode } as const
  return size <= SMALL_FILE_BYTES
    ? { ...common, content: await readFile(file) }
    : { ...common, file: await realpath(file), size }
}

/** The file that a path leads to in the end, if there is one. */
async function existing(path: string): Promise<string | undefined> {
  try {
    return await realpath(path)
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return undefined
  }
}

async function firstExisting(paths: string[]): Promise<string | undefined> {
  for (const path of paths) {
    const found = await existing(path)
    if (found !== undefined) return found
  }
  return undefined
}
