// Runs inside a build: finds what a build script made, and copies it to where it is served from.
// node collect-site.mjs <folder of the application> <where to>
import { cpSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const [, , from = '.', to = 'site'] = process.argv
const FOLDERS = [
  'dist',
  'build',
  'out',
  '.output/public',
  '_site',
  'www',
  'site',
  'public',
  'docs/.vitepress/dist',
]

/** Some generators put a folder of the project's name in between. */
function nested(folder) {
  const path = join(from, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [`${folder}/${entry.name}/browser`, `${folder}/${entry.name}`] : [],
  )
}

const candidates = [...FOLDERS, ...nested('dist')]
const found = candidates.find((folder) => existsSync(join(from, folder, 'index.html')))
if (found === undefined) {
  process.stderr.write(
    `The build script left no index.html in any of: ${FOLDERS.join(', ')}.\n` +
      'Add a start script to package.json if this application is a server, or a Dockerfile.\n',
  )
  process.exit(1)
}
process.stdout.write(`Serving ${found}\n`)
// Not renamed: a folder of an earlier layer cannot be.
cpSync(join(from, found), to, { recursive: true })
