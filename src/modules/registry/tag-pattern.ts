/** Whether the whole text fits a pattern in which `*` stands for any characters. Takes time in proportion to both, whatever they are. */
export function matchesPattern(pattern: string, text: string): boolean {
  let at = 0
  let star = -1
  let starAt = 0
  let index = 0
  while (at < text.length) {
    if (pattern[index] === '*') {
      star = index
      starAt = at
      index += 1
    } else if (index < pattern.length && pattern[index] === text[at]) {
      index += 1
      at += 1
    } else if (star >= 0) {
      starAt += 1
      at = starAt
      index = star + 1
    } else return false
  }
  while (pattern[index] === '*') index += 1
  return index === pattern.length
}
