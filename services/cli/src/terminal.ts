/**
 * What may reach a terminal, and how wide it is there. Everything that an event says passes `safe`: an event is
 * written by an agent, and an agent under someone's control must not control the terminal of who investigates it.
 */
import { styleText } from 'node:util';
import stringWidth from 'string-width';

/**
 * Controls (C0, DEL, C1), line and paragraph separators, lone surrogates, and invisible format characters, among
 * them those that reorder text and the tag characters that hide it. The two joiners stay: scripts need them to be read.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/gu;

/** The text on one line with whatever could act on a terminal, or hide in it, made visible. */
export function safe(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0) as number;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return '\u2421';
    return `\\u{${code.toString(16)}}`;
  });
}

/** Cells that the text takes on a terminal. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

const GRAPHEMES = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** At most `cells` wide, with … where something was left out. */
export function cut(text: string, cells: number): string {
  if (widthOf(text) <= cells) return text;
  if (cells <= 0) return '';
  let kept = '';
  let used = 1;
  for (const { segment } of GRAPHEMES.segment(text)) {
    used += widthOf(segment);
    if (used > cells) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** Like `cut`, but from the middle: identifiers that begin alike are told apart by their ends. */
export function cutMiddle(text: string, cells: number): string {
  if (widthOf(text) <= cells) return text;
  if (cells < 3) return cut(text, cells);
  const head = cut(text, Math.ceil(cells / 2));
  const graphemes = [...GRAPHEMES.segment(text)];
  let tail = '';
  let used = widthOf(head);
  for (let i = graphemes.length - 1; i >= 0; i--) {
    const { segment } = graphemes[i] as Intl.SegmentData;
    used += widthOf(segment);
    if (used > cells) break;
    tail = segment + tail;
  }
  return head + tail;
}

/** Breaks a text between words. A word that is wider than a line stays whole: it may be something to copy. */
export function wrap(text: string, cells: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > cells) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

export function pad(text: string, cells: number): string {
  return text + ' '.repeat(Math.max(0, cells - widthOf(text)));
}

export type Style = 'plain' | 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta';

/** Colours a text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/** A stream as far as colour and layout need to know it. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** FORCE_COLOR before NO_COLOR, as Node has it; else colour is for terminals that can show it. */
export function wantsColour(screen: Screen, env: Readonly<Record<string, string | undefined>>): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if (env['NO_COLOR']) return false;
  return screen.isTTY === true && env['TERM'] !== 'dumb';
}

export function painter(colour: boolean): Paint {
  return (style, text) => (colour && style !== 'plain' && text !== '' ? styleText(style, text, { validateStream: false }) : text);
}
