import { test } from 'tap'
import { pathChoice, pathGlob } from '../../src/lib/path-glob.ts'

test('patterns of paths', async (t) => {
  const cases: [pattern: string, path: string, matches: boolean][] = [
    ['web', 'web', true],
    ['web', 'web/a', false],
    ['web/', 'web/a/b', true],
    ['web/**', 'web/a/b', true],
    ['web/**', 'web', false],
    ['web/*', 'web/a', true],
    ['web/*', 'web/a/b', false],
    ['/web/*', 'web/a', true],
    ['*.md', 'a.md', true],
    ['*.md', 'a/b.md', false],
    ['**/*.md', 'b.md', true],
    ['**/*.md', 'a/b/c.md', true],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a**/z', 'ab/c/z', true],
    ['release/?.x', 'release/1.x', true],
    ['release/?.x', 'release/11.x', false],
    ['a.b', 'axb', false],
    ['[ab]', 'a', false],
  ]
  for (const [pattern, path, matches] of cases)
    t.equal(pathGlob(pattern)(path), matches, `${pattern} ${path}`)
})

test('patterns choose and exclude', async (t) => {
  const chosen = pathChoice(['web/**', '!**/*.md'])
  t.same(['web/a.ts', 'web/a.md', 'api/a.ts'].map(chosen), [true, false, false])
  const others = pathChoice(['!docs/**'])
  t.same(['docs/a', 'src/a'].map(others), [false, true], 'without any that chooses, all are chosen')
})
