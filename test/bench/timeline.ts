export async function benchTimeline(stored: number): Promise<{ page: number; stored: number; agents: object[] }> { return { page: 100, stored, agents: [] }; }
