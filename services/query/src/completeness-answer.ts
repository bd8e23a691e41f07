import type { Completeness, EmitterStatement, Range } from '@agent-audit/queries';
import { formatNanos, type Completeness as Answer, type EmitterCompleteness } from '@agent-audit/schemas';

/** The statement as the API words it. @param asOfUs when the record was asked */
export function completenessAnswer({ emitters, downtime, ...known }: Completeness, asOfUs: bigint): Answer {
  return {
    ...known,
    emitters: emitters.map(emitterAnswer),
    downtime: downtime.map(([from, to]) => [formatMicros(from), formatMicros(to)]),
    as_of: formatMicros(asOfUs),
  };
}

function emitterAnswer({ emitter, instance, status, first, last, seen, missing, duplicated, restarted, state, heartbeat }: EmitterStatement): EmitterCompleteness {
  return {
    emitter,
    instance_id: instance === '' ? null : instance,
    status,
    first: first ?? null,
    last: last ?? null,
    seen: pairs(seen),
    missing: pairs(missing),
    duplicated: pairs(duplicated),
    restarted,
    state,
    heartbeat: heartbeat === undefined ? null : {
      last_at: formatMicros(heartbeat.lastAtUs), due_at: heartbeat.dueAtUs === undefined ? null : formatMicros(heartbeat.dueAtUs), sequence: heartbeat.sequence ?? null,
    },
  };
}

const pairs = (ranges: readonly Range[]): [number, number][] => ranges.map(([from, to]) => [from, to]);
const formatMicros = (us: bigint): string => formatNanos(us * 1000n);
