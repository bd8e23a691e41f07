import { wrap, type Paint } from '@agent-audit/cli';
import type { StoryLine } from './story.ts';

const CLOCK = '14:33:07  '.length;
/** Remarks stand a little to the right of the sentence they belong to. */
const REMARK = 2;

/** Lines of the story, wrapped to the terminal's width. */
export function print(lines: readonly StoryLine[], paint: Paint, columns: number): string {
  return lines.map((line) => printLine(line, paint, columns)).join('');
}

function printLine({ text, style = 'plain', level = 0, clock, hang = 0 }: StoryLine, paint: Paint, columns: number): string {
  const indent = level === 0 ? 0 : clock === undefined ? CLOCK + REMARK : CLOCK;
  return wrap(text, Math.max(20, columns - indent - hang))
    .map((part, i) => {
      const first = i === 0 && clock !== undefined ? paint('dim', clock.padEnd(CLOCK)) : ' '.repeat(indent + (i === 0 ? 0 : hang));
      return `${part === '' ? '' : first}${paint(style, part)}\n`;
    })
    .join('');
}
