/**
 * `npm run bench` lists the benchmarks, `npm run bench -- NAME [ARGUMENTS]` runs one. Each is a file `NAME-bench.ts` here that exports
 * `run(args)`, prints its figures, and judges nothing.
 */
import { readdir } from 'node:fs/promises'

interface Benchmark {
  run(args: string[]): Promise<void>
}

const [name, ...args] = process.argv.slice(2)
const files = await readdir(new URL('.', import.meta.url))
const names = files
  .filter((file) => file.endsWith('-bench.ts'))
  .map((file) => file.slice(0, -'-bench.ts'.length))

if (name === undefined || !names.includes(name)) {
  console.log(`usage: npm run bench -- NAME [ARGUMENTS]\nbenchmarks: ${names.toSorted().join(', ')}`)
  process.exitCode = name === undefined ? 0 : 2
} else {
  const benchmark = (await import(new URL(`${name}-bench.ts`, import.meta.url).href)) as Benchmark
  await benchmark.run(args)
}
