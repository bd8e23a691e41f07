import { CannotVerify, type Report } from '@agent-audit/verify';
import type { Command } from 'commander';
import { plural } from '../completeness.ts';
import { CliError, EXIT } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { wantsJson } from '../options.ts';
import { pad, safe } from '../terminal.ts';

const LABEL = 14;

/** Runs a verification, and says what it came to. @throws CliError `findings` or `unverifiable` */
export async function showReports(command: Command, io: Io, verify: () => Promise<readonly Report[]>): Promise<void> {
  const reports = await run(verify);
  const findings = reports.flatMap((report) => report.findings);
  const total = reports.reduce((sum, report) => sum + report.findings_total, 0);
  const notChecked = [...new Set(reports.flatMap((report) => report.not_checked))];
  const checked = reports.map((report) => report.checked).filter((one) => Object.keys(one).length > 0);
  if (wantsJson(command)) {
    await io.outLine(JSON.stringify({ verified: total === 0, findings_total: total, findings, checked, not_checked: notChecked }));
  } else {
    for (const { finding, log_id: log, log_index: index, event_id: id, detail } of findings) {
      const where = [log, index === undefined ? undefined : `#${index}`, id].filter((part) => part !== undefined && part !== '').map((part) => safe(part as string));
      await io.outLine(`${io.paint('red', pad(finding, LABEL))}${where.length === 0 ? '' : `${where.join(' ')}: `}${safe(detail)}`);
    }
    if (total > findings.length) await io.outLine(`… and ${(total - findings.length).toLocaleString('en')} more`);
    for (const one of checked) await io.outLine(`${pad('checked', LABEL)}${Object.entries(one).filter(([, value]) => value !== '').map(([name, value]) => `${name} ${safe(String(value))}`).join(', ')}`);
    for (const text of notChecked) await io.outLine(io.paint('dim', `${pad('not checked', LABEL)}${safe(text)}`));
    await io.outLine(total === 0 ? io.paint('green', 'Verified: nothing is wrong with what was checked.') : io.paint('red', `Not verified: ${plural(total, 'finding')}.`));
  }
  if (total > 0) throw new CliError(EXIT.findings, `${plural(total, 'finding')}; the exit code is ${EXIT.findings}`);
}

async function run(verify: () => Promise<readonly Report[]>): Promise<readonly Report[]> {
  try {
    return await verify();
  } catch (error) {
    if (error instanceof CannotVerify || (error as Error).name === 'StoreError') throw new CliError(EXIT.unverifiable, safe((error as Error).message), { cause: error });
    throw error;
  }
}
