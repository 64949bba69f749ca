import { test } from 'tap'
import { type BuildChoice, detectBuild } from '../../../src/modules/builds/build-detection.ts'
import { openSourceFolder } from '../../../src/modules/builds/source-folder.ts'
import { type SourceTree, writeSource } from './source-tree.ts'

const AUTO: BuildChoice = { builder: 'auto', dockerfile_path: null }
const SERVER = { 'package.json': '{"scripts":{"start":"node ."}}' }

const DETECTED: [title: string, tree: SourceTree, choice: Partial<BuildChoice>, plan: object][] = [
  [
    'a Dockerfile comes first',
    { ...SERVER, Dockerfile: 'FROM x', 'index.html': '' },
    {},
    { builder: 'dockerfile', dockerfile: 'Dockerfile' },
  ],
  [
    'a Dockerfile elsewhere is used when it is named',
    { 'docker/App.dockerfile': '' },
    { dockerfile_path: 'docker/App.dockerfile' },
    { builder: 'dockerfile', dockerfile: 'docker/App.dockerfile' },
  ],
  ['a package.json with something to start is a Node.js application', SERVER, {}, { builder: 'node' }],
  [
    'so is one with an entry file',
    { 'package.json': '{}', 'server.js': '' },
    {},
    { builder: 'node', facts: { entry: 'server.js' } },
  ],
  [
    'so is one that only builds',
    { 'package.json': '{"scripts":{"build":"vite build"}}', 'index.html': '' },
    {},
    { builder: 'node' },
  ],
  [
    'pages beside a package.json that only holds tools are static files',
    { 'package.json': '{"devDependencies":{"prettier":"3"}}', 'index.html': '' },
    {},
    { builder: 'static', folder: '' },
  ],
  ['an index.html is static files', { 'index.html': '' }, {}, { builder: 'static', folder: '' }],
  [
    'one in a known folder is too',
    { 'README.md': '', 'public/index.html': '' },
    {},
    { builder: 'static', folder: 'public' },
  ],
  [
    'a builder that is chosen is not guessed',
    { ...SERVER, Dockerfile: '', 'index.html': '' },
    { builder: 'static' },
    { builder: 'static', folder: '' },
  ],
  [
    'node is chosen over a Dockerfile',
    { ...SERVER, Dockerfile: '' },
    { builder: 'node' },
    { builder: 'node' },
  ],
]

for (const [title, tree, choice, plan] of DETECTED) {
  void test(title, async (t) => {
    const source = openSourceFolder(await writeSource(t, tree))
    t.match(await detectBuild(source, { ...AUTO, ...choice }), plan)
  })
}

const REFUSED: [title: string, tree: SourceTree, choice: Partial<BuildChoice>, message: RegExp][] = [
  [
    'a source of something else is told what is supported',
    { Procfile: 'web: x' },
    {},
    /has Procfile \(a Procfile\).*Dockerfile, a folder with a package\.json, or static files/,
  ],
  [
    'so is one in another language',
    { 'requirements.txt': 'flask', 'main.py': '' },
    {},
    /requirements\.txt \(Python\)/,
  ],
  [
    'a folder too many is pointed out',
    { 'app/package.json': '{}' },
    {},
    /only the folder app: set context_path to "app"/,
  ],
  ['an empty source is said to be empty', {}, {}, /it is empty/],
  ['what is there is listed', { 'notes.txt': '', 'x.bin': '' }, {}, /It has: notes\.txt, x\.bin\./],
  [
    'a Dockerfile that is named and not there',
    { Dockerfile: '' },
    { dockerfile_path: 'Dockerfile.prod' },
    /There is no Dockerfile\.prod/,
  ],
  [
    'a Dockerfile that is a folder',
    { 'Dockerfile/x': '' },
    { builder: 'dockerfile' },
    /Dockerfile is not a file/,
  ],
  ['a Dockerfile that is a link', { Dockerfile: '-> /etc/passwd' }, {}, /Dockerfile is a symbolic link/],
  ['a Dockerfile behind a link', { d: '-> /etc' }, { dockerfile_path: 'd/passwd' }, /d is a symbolic link/],
  [
    'a Dockerfile outside',
    { Dockerfile: '' },
    { dockerfile_path: '../Dockerfile' },
    /not a path inside the source/,
  ],
  [
    'an absolute Dockerfile',
    { Dockerfile: '' },
    { dockerfile_path: '/etc/passwd' },
    /not a path inside the source/,
  ],
  [
    'a package.json that is a link',
    { 'package.json': '-> /etc/passwd' },
    {},
    /package\.json is a symbolic link/,
  ],
  ['a package.json that is not JSON', { 'package.json': '{' }, {}, /package\.json is not valid JSON/],
  ['a package.json that is a list', { 'package.json': '[]' }, {}, /package\.json is not an object/],
  [
    'a package.json too large to be one',
    { 'package.json': `"${'x'.repeat(1_100_000)}"` },
    {},
    /1100002 bytes; at most/,
  ],
  ['node without a package.json', { 'index.html': '' }, { builder: 'node' }, /needs a package\.json/],
  ['static without an index.html', { 'about.html': '' }, { builder: 'static' }, /needs an index\.html/],
]

for (const [title, tree, choice, message] of REFUSED) {
  void test(`refused: ${title}`, async (t) => {
    const source = openSourceFolder(await writeSource(t, tree))
    await t.rejects(detectBuild(source, { ...AUTO, ...choice }), { name: 'BuildFailed', message })
  })
}

void test('a folder of the source that is a link or missing is refused', async (t) => {
  const source = openSourceFolder(await writeSource(t, { 'a/b/index.html': '', out: '-> /etc', file: '' }))
  t.equal((await source.folder('a/b')).path, `${source.path}/a/b`)
  await t.rejects(source.folder('out'), { message: /out is a symbolic link/ })
  await t.rejects(source.folder('missing'), { message: /no folder missing/ })
  await t.rejects(source.folder('file'), { message: /no folder file/ })
  await t.rejects(source.folder('a/../..'), { message: /not a path inside/ })
})
