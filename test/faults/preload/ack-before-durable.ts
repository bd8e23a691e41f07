/* A negative control: the recorder says that events are recorded as soon as it has them in memory. */
import { Recorder } from '@agent-audit/collector';
import { EventTape } from '@agent-audit/schemas';

const { record } = Recorder.prototype;

Recorder.prototype.record = function (this: Recorder, tenant, tape) {
  // The tape is its owner's again once this is answered.
  const copy = new EventTape();
  for (let i = 0; i < tape.count; i++) copy.take(Buffer.from(tape.raw(i)));
  record.call(this, tenant, copy).catch(() => {});
  return Promise.resolve({ accepted: tape.count, duplicates: 0 });
};
