/** What expressions of rules and dashboards ask for: names of series, and the labels that they pick them by. */

export type Selector = {
  readonly metric: string
  readonly labels: Readonly<Record<string, string>>
}

/** The selectors of an expression; labels that are compared with `=` only. */
export function selectorsOf(expression: string): Selector[] {
  const found: Selector[] = []
  const withoutLists = expression.replaceAll(labelLists, ' ')
  // Names of metrics have an underscore or are `up`; functions are followed by a bracket.
  for (const [, metric = '', inner = ''] of withoutLists.matchAll(
    /\b((?:[a-z]+_[a-z0-9_]+|up))\b(?!\s*\()(?:\{([^}]*)\})?/g,
  )) {
    const labels = [...inner.matchAll(/(\w+)\s*=\s*"([^"]*)"/g)].map(([, name, value]) => [
      name as string,
      value as string,
    ])
    found.push({ metric, labels: Object.fromEntries(labels) })
  }
  return found
}

/** `by (service, log_partition)`: labels, no series. */
const labelLists = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g
