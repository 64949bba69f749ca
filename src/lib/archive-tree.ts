import { setImmediate } from 'node:timers/promises'
import { badArchive, tooLarge } from './archive-error.ts'
import type { ArchiveEntry } from './archive-reader.ts'

export interface TreeLimits {
  /** Most files, links and folders, those that are only implied by a path included. */
  maxEntries: number
}

const MAX_PATH_BYTES = 2048
const MAX_NAME_BYTES = 255
const MAX_DEPTH = 100
/** Linux gives up behind 40 as well. */
const MAX_LINK_HOPS = 40
/** Room for names and link targets in memory, for each entry that is allowed. */
const NAME_BYTES_PER_ENTRY = 160
const LINKS_PER_SLICE = 500

interface Directory {
  readonly parent: Directory | undefined
  readonly children: Map<string, Node>
}
interface Symlink {
  readonly target: string
  readonly name: string
  readonly home: Directory
  /** Where it ends, once that is known, and behind how many further links. */
  end?: Position
  hops: number
  /** `circle`: it needs itself to be resolved, wherever one begins. */
  state: 'new' | 'under way' | 'done' | 'circle'
}
/** All files are alike, so that a tree of many stays small. */
const FILE = Symbol('file')
type Node = Directory | Symlink | typeof FILE

/** A place inside the root; `below` counts names under the directory that do not exist. */
interface Position {
  directory: Directory
  below: number
}

/** What the tree has let in: where it goes, by real directories only. */
export interface PlacedEntry {
  /** Names from the root down; empty for the root itself. */
  path: string[]
  /** Directories that the path implies and that did not exist yet, outermost first. */
  impliedDirectories: string[][]
  /** The directory existed already. */
  existed: boolean
  /** Of a link: names of the file that it shares. */
  linkPath: string[]
}

/**
 * The names of an archive as they unfold in an empty directory. Refuses whatever would reach out of it or write through a link: nothing is
 * ever placed below anything but a real directory, and `finish` follows every symlink in the tree as the kernel would.
 */
export class ArchiveTree {
  readonly #root: Directory = { parent: undefined, children: new Map() }
  readonly #limits: TreeLimits
  readonly #symlinks: Symlink[] = []
  #entries = 0
  #headers = 0
  #nameBytes = 0

  constructor(limits: TreeLimits) {
    this.#limits = limits
  }

  /** How many files, links and folders there are. */
  get entries(): number {
    return this.#entries
  }

  /** Takes an entry in; throws BAD_ARCHIVE or PAYLOAD_TOO_LARGE. */
  add(entry: ArchiveEntry): PlacedEntry {
    this.#headers += 1
    if (this.#headers > this.#limits.maxEntries) this.#refuseCount()
    const path = splitPath(entry.name)
    const placed: PlacedEntry = { path, impliedDirectories: [], existed: false, linkPath: [] }
    const name = path.at(-1)
    if (name === undefined) {
      if (entry.kind !== 'directory') throw badArchive('it has no name', entry.name)
      return { ...placed, existed: true }
    }
    const home = this.#descend(path, placed, entry.name)
    const present = home.children.get(name)
    if (present !== undefined) {
      if (entry.kind !== 'directory' || !isDirectory(present)) throw badArchive('it comes twice', entry.name)
      return { ...placed, existed: true }
    }
    if (entry.kind === 'link') placed.linkPath = this.#findFile(entry)
    this.#count(entry.name, Buffer.byteLength(name) + entry.target.length)
    home.children.set(name, this.#toNode(entry, home, path.length - 1))
    return placed
  }

  /** Follows every symlink; throws BAD_ARCHIVE when one leads out. Gives other work its turn. */
  async finish(): Promise<void> {
    for (const [index, link] of this.#symlinks.entries()) {
      resolveLink(link, 0)
      if (index % LINKS_PER_SLICE === LINKS_PER_SLICE - 1) await setImmediate()
    }
  }

  #refuseCount(): never {
    throw tooLarge(`more than ${this.#limits.maxEntries} files and folders`)
  }

  #count(entryName: string, nameBytes: number): void {
    this.#entries += 1
    if (this.#entries > this.#limits.maxEntries) this.#refuseCount()
    this.#nameBytes += nameBytes
    if (this.#nameBytes > this.#limits.maxEntries * NAME_BYTES_PER_ENTRY)
      throw badArchive('the names take too much room', entryName)
  }

  #descend(path: string[], placed: PlacedEntry, entryName: string): Directory {
    let home = this.#root
    for (const [depth, name] of path.slice(0, -1).entries()) {
      let child = home.children.get(name)
      if (child === undefined) {
        this.#count(entryName, Buffer.byteLength(name))
        child = { parent: home, children: new Map() }
        home.children.set(name, child)
        placed.impliedDirectories.push(path.slice(0, depth + 1))
      }
      if (!isDirectory(child)) {
        throw badArchive(
          `"${path.slice(0, depth + 1).join('/')}" in its path is a ${child === FILE ? 'file' : 'link'}`,
          entryName,
        )
      }
      home = child
    }
    return home
  }

  #toNode(entry: ArchiveEntry, home: Directory, depth: number): Node {
    if (entry.kind === 'directory') return { parent: home, children: new Map() }
    if (entry.kind !== 'symlink') return FILE
    checkTarget(entry, depth)
    const link: Symlink = { target: entry.target, name: entry.name, home, hops: 0, state: 'new' }
    this.#symlinks.push(link)
    return link
  }

  /** A hard link names a file from the root on, which must have come before. */
  #findFile(entry: ArchiveEntry): string[] {
    const path = splitPath(entry.target, entry.name)
    let node: Node | undefined = this.#root
    for (const name of path)
      node = node !== undefined && isDirectory(node) ? node.children.get(name) : undefined
    if (node !== FILE)
      throw badArchive(`it is a link to "${entry.target}", which is no file that came before it`, entry.name)
    return path
  }
}

function isDirectory(node: Node): node is Directory {
  return node !== FILE && 'children' in node
}

/** The names in a path of an archive; throws unless it stays below the root by its words alone. */
function splitPath(path: string, blamed = path): string[] {
  if (path.startsWith('/'))
    throw badArchive(
      blamed === path ? 'its path is absolute' : `it links to the absolute path "${path}"`,
      blamed,
    )
  if (path.includes('\0')) throw badArchive('a NUL in a path', blamed)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw badArchive(`a path of more than ${MAX_PATH_BYTES} bytes`, blamed)
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) throw badArchive('there is ".." in a path', blamed)
  if (names.length > MAX_DEPTH) throw badArchive(`more than ${MAX_DEPTH} folders deep`, blamed)
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES))
    throw badArchive(`a name of more than ${MAX_NAME_BYTES} bytes`, blamed)
  return names
}

/** What a symlink's words alone can tell, so that the worst is refused before the rest has come. */
function checkTarget({ name, target }: ArchiveEntry, depth: number): void {
  if (target === '') throw badArchive('a link to nothing', name)
  if (target.startsWith('/')) throw badArchive(`it links to the absolute path "${target}"`, name)
  if (target.includes('\0')) throw badArchive('a NUL in a link', name)
  if (Buffer.byteLength(target) > MAX_PATH_BYTES)
    throw badArchive(`a link of more than ${MAX_PATH_BYTES} bytes`, name)
  let level = depth
  for (const part of target.split('/')) {
    if (part === '..') level -= 1
    else if (part !== '' && part !== '.') level += 1
    if (level < 0) throw leadsOut(name, target)
  }
}

function leadsOut(name: string, target: string): Error {
  return badArchive(`it links to "${target}", which leads out of the archive`, name)
}

/** Each link is resolved once and remembered, so that a web of links costs no more than the length of their targets. */
function resolveLink(link: Symlink, hops: number): Position | undefined {
  if (hops + link.hops > MAX_LINK_HOPS)
    throw badArchive(`it leads through more than ${MAX_LINK_HOPS} links`, link.name)
  if (link.end) return link.end
  // In a circle nothing is reached, so nothing outside is.
  if (link.state !== 'new') return undefined
  link.state = 'under way'
  const end = walk(link, hops)
  if (end) link.end = end
  link.state = end ? 'done' : 'circle'
  return end
}

function walk(link: Symlink, hops: number): Position | undefined {
  let position: Position = { directory: link.home, below: 0 }
  for (const part of link.target.split('/')) {
    if (part === '' || part === '.') continue
    const { directory, below } = position
    if (part === '..') {
      if (below > 0) position = { directory, below: below - 1 }
      else if (directory.parent) position = { directory: directory.parent, below: 0 }
      else throw leadsOut(link.name, link.target)
      continue
    }
    const child = below > 0 ? undefined : directory.children.get(part)
    if (child === undefined || child === FILE) position = { directory, below: below + 1 }
    else if (isDirectory(child)) position = { directory: child, below: 0 }
    else {
      const reached = resolveLink(child, hops + 1)
      if (!reached) return undefined
      link.hops = Math.max(link.hops, child.hops + 1)
      position = reached
    }
  }
  return position
}
