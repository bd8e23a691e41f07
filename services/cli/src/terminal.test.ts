import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cut, cutMiddle, pad, painter, safe, wantsColour, widthOf, wrap } from './terminal.ts';

describe('safe', () => {
  it('shows escape sequences instead of letting them act', () => {
    expect(safe('\u001b[2J\u001b]0;title\u0007')).toBe('␛[2J␛]0;title␇');
    expect(safe('a\r\nb\tc\u007f')).toBe('a␍␊b␉c␡');
    // C1: a one-byte CSI that some terminals obey.
    expect(safe('\u009b31m')).toBe('\\u{9b}31m');
  });

  it('shows what reorders or hides text', () => {
    expect(safe('invoice\u202Efdp.exe')).toBe('invoice\\u{202e}fdp.exe');
    expect(safe('\u{e0041}\ufeff\u200b\u2028\ud800')).toBe('\\u{e0041}\\u{feff}\\u{200b}\\u{2028}\\u{d800}');
  });

  it('leaves readable text of any script alone', () => {
    for (const text of ['plain', 'Grüße', '顧客', 'नमस्\u200dते', '🛰️']) expect(safe(text)).toBe(text);
  });

  it('never lets a control character through', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(safe(text)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
    }));
  });
});

describe('fitting', () => {
  it('cuts to cells, not to characters', () => {
    expect(cut('顧客データ', 5)).toBe('顧客…');
    expect(cut('abc', 3)).toBe('abc');
    expect(cut('abcd', 3)).toBe('ab…');
    expect(cut('abcd', 0)).toBe('');
    expect(pad('顧', 4)).toBe('顧  ');
  });

  it('keeps both ends of an identifier', () => {
    expect(cutMiddle('agent:support-coordinator-7f', 11)).toBe('agent…or-7f');
    expect(cutMiddle('short', 11)).toBe('short');
  });

  it('is never wider than asked', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.nat(30), (raw, cells) => {
      const text = safe(raw);
      expect(widthOf(cut(text, cells))).toBeLessThanOrEqual(cells);
      expect(widthOf(cutMiddle(text, cells))).toBeLessThanOrEqual(cells);
    }));
  });

  it('wraps between words and loses none', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('averylongword b', 4)).toEqual(['averylongword', 'b']);
  });
});

describe('wantsColour', () => {
  it.each([
    [{ isTTY: true }, {}, true],
    [{ isTTY: false }, {}, false],
    [{ isTTY: true }, { NO_COLOR: '1' }, false],
    [{ isTTY: true }, { NO_COLOR: '' }, true],
    [{ isTTY: true }, { TERM: 'dumb' }, false],
    [{ isTTY: false }, { FORCE_COLOR: '1' }, true],
    [{ isTTY: true }, { FORCE_COLOR: '0' }, false],
    [{ isTTY: false }, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
  ])('%j with %j: %s', (screen, env, expected) => {
    expect(wantsColour(screen, env as Record<string, string>)).toBe(expected);
  });

  it('leaves text alone without colour', () => {
    expect(painter(false)('red', 'x')).toBe('x');
    expect(painter(true)('red', 'x')).toBe('\u001b[31mx\u001b[39m');
  });
});
