/**
 * The text of parts of a JSON text, as it stands: what `JSON.parse` would give back may have lost digits, spaces and
 * the order of keys. Written apart from the product's own scanner, so that tests do not trust what they test.
 */

/** @param text valid JSON of an object @returns the text of the member's value; undefined where there is none */
export function memberText(text: string, name: string): string | undefined {
  let i = skipSpace(text, 0);
  if (text[i] !== '{') throw new Error('not a JSON object');
  i = skipSpace(text, i + 1);
  while (text[i] !== '}') {
    const keyEnd = skipValue(text, i);
    const key = JSON.parse(text.slice(i, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = skipValue(text, start);
    if (key === name) return text.slice(start, end);
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return undefined;
}

/** @param text valid JSON of an array @returns the text of each element */
export function elementTexts(text: string): string[] {
  let i = skipSpace(text, 0);
  if (text[i] !== '[') throw new Error('not a JSON array');
  i = skipSpace(text, i + 1);
  const elements: string[] = [];
  while (text[i] !== ']') {
    const end = skipValue(text, i);
    elements.push(text.slice(i, end));
    i = skipSpace(text, end);
    if (text[i] === ',') i = skipSpace(text, i + 1);
  }
  return elements;
}

function skipSpace(text: string, at: number): number {
  let i = at;
  while (text[i] === ' ' || text[i] === '\t' || text[i] === '\n' || text[i] === '\r') i++;
  return i;
}

function skipValue(text: string, at: number): number {
  let i = at;
  let depth = 0;
  do {
    const c = text[i];
    if (c === undefined) throw new Error('the text ends inside a value');
    if (c === '"') i = skipString(text, i);
    else if (c === '{' || c === '[') {
      depth++;
      i++;
    } else if (c === '}' || c === ']') {
      depth--;
      i++;
    } else if (depth > 0) i++;
    else while (i < text.length && !',]} \t\n\r'.includes(text[i] as string)) i++;
  } while (depth > 0);
  return i;
}

function skipString(text: string, at: number): number {
  let i = at + 1;
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}
