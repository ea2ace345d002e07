/** What an audit says: for every check what was looked at, with counts, and what was found. */

export type Finding = {
  /** One sentence: what is wrong and where. */
  readonly message: string
  readonly context: Readonly<Record<string, string | number | null>>
}

export type CheckReport = {
  readonly check: string
  /** What the check promises, in plain words. */
  readonly promise: string
  readonly counts: Readonly<Record<string, number>>
  readonly findings: readonly Finding[]
  /** Findings beyond those listed. */
  readonly findingsNotListed: number
}

export type AuditReport = {
  readonly warehouse: string
  readonly checks: readonly CheckReport[]
  /** Files that nothing refers to: no findings, left to orphan removal. */
  readonly orphans: {
    readonly files: number
    readonly bytes: number
    readonly examples: readonly string[]
  }
  readonly findings: number
}

const findingsListedMax = 20

/** Collects findings of one check without growing with the damage. */
export function createCheck(check: string, promise: string) {
  const counts: Record<string, number> = {}
  const findings: Finding[] = []
  let notListed = 0
  return {
    count(name: string, by = 1): void {
      counts[name] = (counts[name] ?? 0) + by
    },
    find(message: string, context: Finding['context'] = {}): void {
      if (findings.length < findingsListedMax) findings.push({ message, context })
      else notListed++
    },
    report(): CheckReport {
      return { check, promise, counts, findings, findingsNotListed: notListed }
    },
  }
}

export type Check = ReturnType<typeof createCheck>
