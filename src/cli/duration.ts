const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
}

/** Milliseconds of `90s`, `10m`, `1h30m`, `7d`, `2w`; undefined for anything else. */
export function readDuration(text: string): number | undefined {
  if (!/^(\d{1,9}[smhdw])+$/.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+)([smhdw])/g)]
  const total = parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS[unit] ?? 0), 0)
  return total <= 100 * 366 * 86_400_000 ? total : undefined
}
