/** What programs say when they listen: `Listening on http://0.0.0.0:3000`, `Server started on port 3000`. */
const SAYS_PORT = /\b(?:listening|running|started|serving|ready|local|port)\b.*?(?::|\bport:?\s+)(\d{2,5})\b/i

/**
 * What to do about a replica that refuses connections, where it is known to listen on another port: by the last lines that it wrote, else by
 * what its image exposes. Empty when nothing is known.
 */
export function portHint(
  port: number,
  { lines, exposed }: { lines: readonly string[]; exposed: readonly number[] },
): string {
  const said = lines.map((line) => Number(SAYS_PORT.exec(line.slice(0, 500))?.[1])).filter(isPort)
  if (said.includes(port)) return ''
  const [other] = [...said.toReversed(), ...(exposed.includes(port) ? [] : exposed)]
  if (other === undefined) return ''
  return ` It seems to listen on port ${other}: let it listen on the number in PORT (${port}), or set internal_port to ${other} (berth deploy --port ${other}).`
}

function isPort(port: number): boolean {
  return port > 0 && port <= 65_535
}
