import assert from "node:assert/strict";

/**
 * Asks a nats-server's /healthz as docker asks it: unhealthy is a server that fails `retries` times
 * running. Once alone says little, since nats-server gives itself one millisecond to find that it is
 * ready, and answers 503 where a busy machine takes the processor away meanwhile
 * (`readyForConnections(time.Millisecond)` in its server/monitor.go).
 */
export async function assertNatsHealthy(url: string, retries: number): Promise<void> {
  const answers: string[] = [];
  while (answers.length < retries) {
    const response = await fetch(url);
    const text = await response.text();
    if (response.status === 200) return;
    answers.push(`${String(response.status)} ${text}`);
  }
  assert.fail(`${url} answered ${answers.join(", ")}`);
}
