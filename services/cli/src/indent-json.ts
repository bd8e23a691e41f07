/**
 * The same JSON text, indented for reading. It works on the text, not on its value: numbers keep their digits and
 * strings their escapes, which a parse and a print would lose.
 *
 * @param text valid JSON
 */
export function indentJson(text: string, step = 2): string {
  let depth = 0;
  const feed = (): string => `\n${' '.repeat(depth * step)}`;
  // Strings whole, then brackets and separators, then runs of anything else (numbers, true, false, null).
  const tokens = text.match(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g) ?? [];
  let out = '';
  tokens.forEach((token, i) => {
    const next = tokens[i + 1];
    if (token === '{' || token === '[') {
      depth++;
      out += token;
      if (next !== '}' && next !== ']') out += feed();
    } else if (token === '}' || token === ']') {
      depth--;
      const before = tokens[i - 1];
      if (before !== '{' && before !== '[') out += feed();
      out += token;
    } else if (token === ',') out += `,${feed()}`;
    else if (token === ':') out += ': ';
    else out += token;
  });
  return out;
}
