import { readdir, readFile, realpath } from 'node:fs/promises'
import { dirname, join, matchesGlob } from 'node:path'
import { systemCodeOf } from '../../../lib/errors.ts'
import { type ElfFile, readElf } from './elf-file.ts'

/** A library as the loader looks for it, and the file behind it. */
export interface SharedLibrary {
  name: string
  /** Where it was found. */
  path: string
  /** The regular file that it is in the end. */
  file: string
}

export interface LinkedProgram {
  /** The loader, at the path that is written into the program; undefined for a static one. */
  loader: SharedLibrary | undefined
  libraries: SharedLibrary[]
}

/** Where distributions keep the libraries of a machine (e_machine), before the folders that all have. */
const MACHINE_FOLDERS: Record<number, string[]> = {
  62: ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu'],
  183: ['/lib/aarch64-linux-gnu', '/usr/lib/aarch64-linux-gnu'],
}
const COMMON_FOLDERS = ['/lib64', '/usr/lib64', '/lib', '/usr/lib']

/**
 * The libraries that a program is linked to, and theirs, found as the loader would (ld.so(8)) but without running anything. `optional` are
 * taken along where they exist: what is loaded by name at run time. Throws when one that is needed cannot be found.
 */
export async function findLinkedLibraries(
  program: string,
  optional: readonly string[] = [],
): Promise<LinkedProgram> {
  const elf = await readElf(program)
  if (!elf) throw new Error(`${program} is not a 64-bit ELF program.`)
  if (elf.interpreter === undefined) return { loader: undefined, libraries: [] }
  const search = await createSearch(elf.machine)
  const loader = { name: 'loader', path: elf.interpreter, file: await realpath(elf.interpreter) }
  const found = new Map<string, SharedLibrary>()
  const queue = [...elf.needed]
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (found.has(name) || isLoader(name, elf.interpreter)) continue
    const hit = await search(name)
    if (!hit) throw new Error(`${program} needs ${name}, which is not in any library folder.`)
    found.set(name, hit.library)
    queue.push(...hit.elf.needed)
  }
  for (const name of optional) {
    const hit = found.has(name) ? undefined : await search(name)
    // Only where all that it needs is there already: a helper must not drag in half a system.
    if (hit?.elf.needed.every((each) => found.has(each) || isLoader(each, elf.interpreter ?? '')))
      found.set(name, hit.library)
  }
  return { loader, libraries: [...found.values()] }
}

function isLoader(name: string, interpreter: string): boolean {
  return interpreter.endsWith(`/${name}`)
}

type Search = (name: string) => Promise<{ library: SharedLibrary; elf: ElfFile } | undefined>

async function createSearch(machine: number): Promise<Search> {
  const folders = [
    ...(MACHINE_FOLDERS[machine] ?? []),
    ...(await configuredFolders('/etc/ld.so.conf')),
    ...COMMON_FOLDERS,
  ]
  return async (name) => {
    for (const folder of folders) {
      const path = join(folder, name)
      const elf = await readElfOrNothing(path)
      if (elf?.machine === machine) return { library: { name, path, file: await realpath(path) }, elf }
    }
    return undefined
  }
}

async function readElfOrNothing(path: string): Promise<ElfFile | undefined> {
  try {
    return await readElf(path)
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return undefined
  }
}

const MAX_INCLUDES = 4

/** The folders of ld.so.conf(5), with those of the files that it includes. */
async function configuredFolders(path: string, depth = 0): Promise<string[]> {
  if (depth > MAX_INCLUDES) return []
  const lines = (await readOrEmpty(path)).split('\n').map((line) => line.replace(/#.*/, '').trim())
  const folders = await Promise.all(
    lines.map(async (line) => {
      const included = /^include\s+(\S+)$/.exec(line)?.[1]
      if (included === undefined) return line.startsWith('/') ? [line] : []
      const files = await matchingFiles(included.startsWith('/') ? included : join(dirname(path), included))
      return (await Promise.all(files.map((file) => configuredFolders(file, depth + 1)))).flat()
    }),
  )
  return folders.flat()
}

/** A pattern with wildcards in its last part, which is all that distributions use. */
async function matchingFiles(pattern: string): Promise<string[]> {
  const folder = dirname(pattern)
  try {
    const names = await readdir(folder)
    return names
      .map((name) => join(folder, name))
      .filter((file) => matchesGlob(file, pattern))
      .toSorted()
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return []
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return ''
  }
}
