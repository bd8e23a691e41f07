import { registerHooks } from 'node:module';

/**
 * Changes the text of a module of the product while it is loaded: what a `#private` method does can be broken in no
 * other way, and no switch for it stands in the product.
 *
 * @param file where it is, from the root of the repository
 * @param from must stand there exactly once, or the service does not start: a control that no longer bites says so
 */
export function mutate(file: string, from: string, to: string): void {
  const { href } = new URL(`../../../${file}`, import.meta.url);
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (url !== href) return loaded;
      const text = String(loaded.source instanceof Uint8Array ? Buffer.from(loaded.source) : loaded.source);
      if (text.split(from).length !== 2) throw new Error(`${file} does not hold, exactly once: ${from}`);
      return { ...loaded, source: text.replace(from, () => to) };
    },
  });
}
